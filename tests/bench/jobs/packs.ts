/**
 * What only mpackd does: packs from end to end, and jobs of a worker that was killed.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/connect.ts";
import { migrate } from "../../../src/db/migrate.ts";
import { loadConfig } from "../../../src/config.ts";
import { mpackdHandlers } from "../../../src/jobs/handlers.ts";
import { claim } from "../../../src/jobs/queue/claim.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { Worker } from "../../../src/jobs/worker.ts";
import { openFileStore } from "../../../src/stream/file_store.ts";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { addRepos } from "../../support/database.ts";
import { concat, mpackKey } from "../../support/mpacks.ts";

const REPO_ID = "repo-1", TYPE = "mpack.index";
const OBJECTS = 20;

/** Packs of 20 objects per second through one worker, from a folder. */
export async function packsPerSecond(
  url: string,
  { packs, concurrency }: { readonly packs: number; readonly concurrency: number },
): Promise<number> {
  const db = connectDatabase(url, { maxConnections: concurrency + 2 });
  const folder = await Deno.makeTempDir({ prefix: "mpackd-bench-" });
  const store = await openFileStore(folder);
  await migrate(db);
  await addRepos(db, REPO_ID);
  for (let seed = 1; seed <= packs; seed++) {
    const size = { kind: "range", minBytes: 16, maxBytes: 2_000 } as const;
    const shape = { objects: OBJECTS, size, seed, commits: 1, snapshots: 1 };
    const bytes = concat(await Array.fromAsync(makeMpack(shape), (chunk) => chunk.slice()));
    const key = mpackKey(bytes);
    await store.put(`mpacks/${REPO_ID}/${key}`, ReadableStream.from([bytes]));
    await enqueue(db, { repoId: REPO_ID, jobType: TYPE, payload: { mpack_key: key } });
  }
  const config = loadConfig({});
  const startedAt = performance.now();
  await new Worker({
    ...options(concurrency),
    db,
    handlers: mpackdHandlers({ db, store, config }),
    untilEmpty: true,
  }).run();
  const ms = performance.now() - startedAt;
  const [{ done }] = await db.sql`select count(*)::int as done from musehub_background_jobs
    where status = 'done'`;
  if (done !== packs) throw new Error(`${done} of ${packs} packs were indexed`);
  await db.close();
  await Deno.remove(folder, { recursive: true });
  return 1000 * packs / ms;
}

/** Milliseconds from the death of a worker until its job runs again, with the usual settings. */
export async function rescueMs(url: string): Promise<number> {
  const db = connectDatabase(url, { maxConnections: 2 });
  await migrate(db);
  await addRepos(db, REPO_ID);
  await enqueue(db, { repoId: REPO_ID, jobType: TYPE, payload: { mpack_key: "k" } });
  const { leaseMs } = options(1);
  // A worker that is killed right after its claim says nothing more, as this one.
  await claim(db, { worker: "dead", jobTypes: [TYPE], leaseMs, limit: 1, perRepo: 1 });
  const diedAt = performance.now();
  const stop = new AbortController();
  let ms = 0;
  await new Worker({
    ...options(1),
    db,
    handlers: {
      [TYPE]: () => {
        ms = performance.now() - diedAt;
        stop.abort();
        return Promise.resolve({});
      },
    },
    signal: stop.signal,
  }).run();
  await db.close();
  return ms;
}

function options(concurrency: number) {
  const { leaseMs, pollMs, drainMs } = loadConfig({});
  const { signal } = new AbortController();
  return { worker: "bench", leaseMs, pollMs, drainMs, concurrency, perRepo: 1_000_000, signal };
}
