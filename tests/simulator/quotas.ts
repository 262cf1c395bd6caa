/**
 * Tenants with quotas, among faults: pushes of several repos at once, repos that are deleted, gc, counts
 * anew, dead workers, and a database that fails. What is counted is what is there, at every moment; no
 * limit is ever exceeded; and who is refused had no room.
 *
 * @module
 */

import assert from "node:assert/strict";
import { loadConfig } from "../../src/config/config.ts";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { recountAll, recountUsage, setQuota, type Tenant } from "../../src/db/quotas/quotas.ts";
import { createRepo, deleteRepo } from "../../src/db/repos.ts";
import { MpackdError, QuotaError } from "../../src/errors.ts";
import { MPACK_INDEX } from "../../src/jobs/index/payload.ts";
import { pushMpack } from "../../src/jobs/index/push_mpack.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import type { Random } from "../fuzz/random.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { createFixture } from "../support/process/fixture.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { ServerFaults } from "./faults/server_faults.ts";
import { StatementFaults } from "./faults/statement_faults.ts";
import { Workers } from "./faults/worker_faults.ts";
import { settled } from "./oracles/endings.ts";
import {
  installUsageLog,
  type Limits,
  limitsExceeded,
  wrongRefusals,
  wrongUsage,
} from "./oracles/usage.ts";
import type { ProfileOptions } from "./report.ts";
import { SHORT_ENV, STATEMENT_TIMEOUT_MS } from "./settings.ts";
import { insist, pause } from "./waits.ts";
import { startSimulatedWorker } from "./workers/worker_here.ts";

const WORKERS = 3;
const MOST_PUSHES_AT_ONCE = 6;
/** No job may fail because it met too many faults. */
const MANY_ATTEMPTS = 1_000_000;
const GRACE_MS = 60_000;
/** How a good pack's job may end, but for a quota: its repo was deleted. */
const OF_DELETED = ["repo-deleted", "repo-not-found", "tombstoned"];

/** Drives one run. */
export async function quotas(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, tally, share, server } = options;
  await using fixture = await createFixture({ server: server.url });
  const { db, store, databaseUrl } = fixture;
  const limits = await setLimits(db, random);
  await installUsageLog(db);
  // Every other tenant is counted from its first push on.
  const env: Record<string, string> = random.once(2)
    ? { MPACK_OWNER_QUOTA: "packs=14 objects=90" }
    : {};
  if (env.MPACK_OWNER_QUOTA !== undefined) {
    limits.set("owner bob", { packs: 14, objects: 90 });
    limits.set("owner me", { packs: 14, objects: 90 });
  }
  const statements = new StatementFaults(tally),
    faults = new ServerFaults({ server, admin: db, tally });
  const pool = connectDatabase(databaseUrl, {
    maxConnections: MOST_PUSHES_AT_ONCE + 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: "mpackd pushes",
  });
  const faulty: Database = {
    ...pool,
    intercept: (query, action) => statements.send(pool, query, action),
  };
  const workers = new Workers(WORKERS, (name, usual) =>
    startSimulatedWorker({
      name,
      env: { ...usual, ...env },
      databaseUrl,
      tally,
      statements,
      openStore: () => store,
    }), tally);

  const repos: { repoId: string; name: string }[] = [];
  let made = 0;
  const addRepo = async (owner: string) => {
    const slug = `r${made++}`, { repo } = await insist(() => createRepo(db, { owner, slug }));
    repos.push({ repoId: repo.repoId, name: `${owner}/${slug}` });
    if (limits.has("repo")) {
      const own = limits.get("repo")!, tenant: Tenant = { kind: "repo", name: repo.repoId };
      await insist(() => setQuota(db, tenant, own));
      await insist(() => recountUsage(db, tenant));
      limits.set(`repo ${repo.repoId}`, own);
    }
  };
  for (const owner of ["ada", "ada", "ada", "bob", "bob", "me"]) await addRepo(owner);

  const jobs = new Map<string, number>(), known: { repoId: string; bytes: Uint8Array }[] = [];
  const counts = { pushes: 0, "pushes refused": 0, repos: 0, collected: 0 };
  const problems: string[] = [], refusals: QuotaError[] = [], running = new Set<Promise<void>>();
  const makePack = () => {
    const alive = known.filter(({ repoId }) => repos.some((repo) => repo.repoId === repoId));
    if (alive.length > 0 && random.once(5)) return random.pick(alive);
    // Some objects are in several packs, so that gc finds packs that nothing needs.
    const seeds = new Set(Array.from(
      { length: 1 + random.below(9) },
      () => random.once(3) ? random.below(12) : 1_000 + random.below(1e6),
    ));
    const contents = [...seeds].map((seed) => sampleBytes(20 + seed % 180, seed + 1));
    const bytes = buildMpack({ objects: contents.map((content) => object({ content })) });
    const pack = { repoId: random.pick(repos).repoId, bytes };
    known.push(pack);
    return pack;
  };
  const enqueuePack = async () => {
    const { repoId, bytes } = makePack(), key = mpackKey(bytes);
    const { row } = await insist(() =>
      enqueue(db, {
        ...{ repoId, jobType: MPACK_INDEX, payload: { mpack_key: key } },
        maxAttempts: MANY_ATTEMPTS,
      })
    );
    jobs.set(row.jobId, bytes.length);
    await insist(() =>
      store.put(`mpacks/${repoId}/${key}`, ReadableStream.from([bytes]), {
        sizeBytes: bytes.length,
      })
    );
  };
  const push = () => {
    if (running.size >= MOST_PUSHES_AT_ONCE) return;
    const { repoId, bytes } = makePack(), isSized = random.once(2), isNamed = random.once(2);
    counts.pushes++;
    const number = counts.pushes;
    tally.note(`push ${number} begins`);
    const pushing = pushMpack({
      db: faulty,
      store,
      config: loadConfig({ ...SHORT_ENV, ...env }),
      repoId,
      ...(isNamed ? { mpackKey: mpackKey(bytes) } : {}),
      ...(isSized ? { sizeBytes: bytes.length } : {}),
      body: ReadableStream.from([bytes.subarray(0, 40), bytes.subarray(40)]),
      worker: "push",
    }).then(() => {}, (error) => {
      tally.note(`push ${number}: ${String(error.message).slice(0, 160)}`);
      if (error instanceof QuotaError) {
        counts["pushes refused"]++;
        refusals.push(error);
      } else if (!(error instanceof MpackdError)) {
        problems.push(`a push met an unexpected error: ${error.stack}`);
      }
    }).finally(() => running.delete(pushing));
    running.add(pushing);
  };
  let collecting: Promise<void> | undefined;
  const gc = () => {
    collecting ??= (async () => {
      await db.sql`update musehub_mpacks set indexed_at = indexed_at - interval '1 day'`;
      await db.sql`update musehub_repos set deleted_at = deleted_at - interval '1 day'`;
      const signal = new AbortController().signal, config = loadConfig({});
      const { mpacks } = await collectGarbage({ db, store, config, graceMs: GRACE_MS, signal });
      counts.collected += mpacks;
    })().catch((error) => tally.note(`gc: ${error.message}`)).finally(() => collecting = undefined);
  };
  const actions: Record<string, [weight: number, act: () => unknown]> = {
    enqueue: [14, async () => {
      for (let i = random.below(4); i >= 0; i--) await enqueuePack();
    }],
    push: [12, push],
    gc: [5, gc],
    replace: [3, async () => {
      const [{ repoId, name }] = repos.splice(random.below(repos.length), 1);
      tally.note(`${name} is deleted`);
      counts.repos++;
      await insist(() => deleteRepo(db, { repoId }));
      await addRepo(name.split("/")[0]);
    }],
    recount: [3, async () => {
      const wrong = await insist(() => recountAll(db));
      for (const { kind, name } of wrong) problems.push(`${kind} ${name} was counted wrongly`);
    }],
    statement: [5, () => statements.arm(random)],
    terminate: [1, () => faults.terminate(random)],
    lock: [1, () => faults.lock(random, ["mpackd_usage", "musehub_mpacks", "mpackd_quotas"])],
    restart: [random.once(6) ? 1 : 0, () => faults.restart()],
    kill: [3, () => workers.kill(random)],
    stop: [1, () => workers.stop(random)],
  };
  const lots = Object.entries(actions).flatMap(([name, [weight]]) => Array(weight).fill(name));
  const steps = Math.max(20, Math.round(60 * share));
  try {
    for (let step = 0; step < steps && problems.length === 0; step++) {
      await actions[random.pick(lots)][1]();
      await workers.continue();
      problems.push(...await insist(() => wrongUsage(db)), ...workers.problems());
      await pause(random.pick([0, 5, 20, 60]));
    }
    statements.disarm();
    await faults.settled();
    await Promise.all(running);
    await collecting;
    await workers.calmDown();
    await settled(db);
  } finally {
    await workers.end();
    await Promise.all(running);
    await pool.close();
  }
  assert.deepEqual(problems, []);
  gc();
  await collecting;
  assert.deepEqual(await wrongUsage(db), []);
  assert.deepEqual(await recountAll(db), []);
  assert.deepEqual(await limitsExceeded(db, limits), []);
  const ends = await db.sql<{ id: string; status: string; code: string | null }[]>`
    select job_id as id, status, last_error->>'code' as code from musehub_background_jobs
    where max_attempts > 1`;
  for (const { id, status, code } of ends.filter(({ id }) => jobs.has(id))) {
    const isGood = status === "done" || status === "cancelled" || code === "quota-exceeded" ||
      OF_DELETED.includes(code ?? "");
    assert.ok(isGood, `${id} is ${status}: ${code}`);
  }
  assert.deepEqual(await wrongRefusals(db, limits, refusals), []);
  const refused = ends.filter(({ code }) => code === "quota-exceeded").length;
  return { steps, jobs: jobs.size, ...counts, "jobs refused": refused, rescues: tally.rescues };
}

/** Limits by tenant, as `owner ada`; `repo`: of every repo. They do not change during a run. */
async function setLimits(db: Database, random: Random): Promise<Map<string, Limits>> {
  const limits = new Map<string, Limits>();
  const draw = (scale: number): Limits => ({
    ...(random.once(2) ? { bytes: Math.round(scale * (3_000 + random.below(6_000))) } : {}),
    ...(random.once(2) ? { objects: Math.round(scale * (20 + random.below(50))) } : {}),
    ...(random.once(2) ? { packs: Math.round(scale * (5 + random.below(10))) } : {}),
    ...(random.once(2) ? { pushes: Math.round(scale * (2 + random.below(6))) } : {}),
  });
  const ofAda = draw(1);
  limits.set("owner ada", ofAda);
  await setQuota(db, { kind: "owner", name: "ada" }, ofAda);
  await recountUsage(db, { kind: "owner", name: "ada" });
  if (random.once(2)) limits.set("repo", draw(0.5));
  return limits;
}
