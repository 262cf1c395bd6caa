/**
 * What only mpackd does: packs from end to end.
 *
 * @module
 */

import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { loadConfig } from "../../src/config/config.ts";
import { mpackdHandlers } from "../../src/jobs/handlers.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { Worker } from "../../src/jobs/worker/worker.ts";
import { openFileStore } from "../../src/stream/store/folder/folder_store.ts";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { addRepos } from "../../tests/support/postgres/database.ts";
import { concat, mpackKey } from "../../tests/support/mpack/mpacks.ts";

const REPO_ID = "repo-1", TYPE = "mpack.index";
const OBJECTS = 20;

/** How packs went through one worker. */
export interface PackRun {
  /** Packs indexed in a second. */
  readonly perSecond: number;
  /** Statements sent for each, those of the claims included. */
  readonly statementsPerJob: number;
}

/** Packs of 20 objects through one worker, from a folder; with a commit each by default. */
export async function runPacks(
  url: string,
  { packs, concurrency, commits = 1 }: {
    readonly packs: number;
    readonly concurrency: number;
    readonly commits?: 0 | 1;
  },
): Promise<PackRun> {
  let statements = 0;
  const db: Database = {
    ...connectDatabase(url, { maxConnections: concurrency + 2, isForWorker: true }),
    intercept: (query) => (statements++, query),
  };
  const folder = await Deno.makeTempDir({ prefix: "mpackd-bench-" });
  const store = await openFileStore(folder);
  await migrate(db);
  await addRepos(db, REPO_ID);
  for (let seed = 1; seed <= packs; seed++) {
    const size = { kind: "range", minBytes: 16, maxBytes: 2_000 } as const;
    const shape = { objects: OBJECTS, size, seed, commits, snapshots: commits };
    const bytes = concat(await Array.fromAsync(makeMpack(shape), (chunk) => chunk.slice()));
    const key = mpackKey(bytes);
    await store.put(`mpacks/${REPO_ID}/${key}`, ReadableStream.from([bytes]));
    await enqueue(db, { repoId: REPO_ID, jobType: TYPE, payload: { mpack_key: key } });
  }
  const config = loadConfig({});
  statements = 0;
  const startedAt = performance.now();
  await new Worker({
    ...options(concurrency),
    db,
    handlers: mpackdHandlers({ db, store, config }),
    untilEmpty: true,
  }).run();
  const ms = performance.now() - startedAt;
  const statementsPerJob = statements / packs;
  const [{ done }] = await db.sql`select count(*)::int as done from musehub_background_jobs
    where status = 'done'`;
  if (done !== packs) {
    const others = await db.sql`select status, attempt, last_error::text
      from musehub_background_jobs where status <> 'done' limit 3`;
    throw new Error(`${done} of ${packs} packs were indexed: ${JSON.stringify(others)}`);
  }
  await db.close();
  await Deno.remove(folder, { recursive: true });
  return { perSecond: 1000 * packs / ms, statementsPerJob };
}

function options(concurrency: number) {
  const { leaseMs, pollMs, drainMs } = loadConfig({});
  const { signal } = new AbortController();
  return { worker: "bench", leaseMs, pollMs, drainMs, concurrency, perRepo: 1_000_000, signal };
}
