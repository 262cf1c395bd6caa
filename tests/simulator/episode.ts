/**
 * One small world from its beginning to its end: producers, workers, a store, a database, and what
 * a seed does to them. After every step everything is looked at.
 *
 * The seed decides the packs, the steps, and the faults and their order. It does not decide which
 * statement or request of which worker meets a fault: that is a matter of the machine's timing, as
 * are the workers' own random waits. A failure may need several replays to show again.
 *
 * @module
 */

import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { addRepos } from "../support/postgres/database.ts";
import { startFaultProxy } from "../support/store/fault_proxy.ts";
import { createTestDatabase } from "../support/postgres/postgres.ts";
import { installOracle } from "../support/postgres/publish_oracle.ts";
import type { TestServer } from "../support/postgres/test_server.ts";
import { Random } from "../fuzz/random.ts";
import { differencesToCleanRun } from "./oracles/clean_run.ts";
import { hurry, leaks, settled } from "./oracles/endings.ts";
import { nameOf, problemsAt, problemsInTheEnd, type Pushed } from "./oracles/oracles.ts";
import { type StartWorker, Workers } from "./faults/worker_faults.ts";
import { Producers } from "./producers.ts";
import { ServerFaults } from "./faults/server_faults.ts";
import { REPO_IDS } from "./settings.ts";
import { takeSnapshot } from "./oracles/snapshot.ts";
import { StatementFaults } from "./faults/statement_faults.ts";
import { StoreFaults } from "./faults/store_faults.ts";
import { makeBucket, openThrough, type StoreKind } from "./stores.ts";
import { Tally } from "./tally.ts";
import { startSimulatedWorker } from "./workers/worker_here.ts";
import { insist, pause } from "./waits.ts";
import { startRealWorker } from "./workers/worker_elsewhere.ts";

/** How to run a world. */
export interface EpisodeOptions {
  /** Decides what happens in it. */
  readonly seed: number;
  /** The server; it is restarted. */
  readonly server: TestServer;
  /** The store. */
  readonly store: StoreKind;
  /** Whether workers are processes of their own, with real signals. */
  readonly processes: boolean;
  /** Steps before the faults stop. Default 40. */
  readonly steps?: number;
}

/** What came of it. */
export interface EpisodeReport {
  /** The seed. */
  readonly seed: number;
  /** Steps taken, after each of which everything was looked at. */
  readonly steps: number;
  /** Jobs there were. */
  readonly jobs: number;
  /** How they ended, by status. */
  readonly ends: Record<string, number>;
  /** Faults that took place, by kind. */
  readonly faults: Record<string, number>;
  /** How long it took. */
  readonly elapsedMs: number;
  /** What was found wrong; empty if all is well. */
  readonly problems: readonly string[];
  /** What happened, if something was. */
  readonly events: readonly string[];
}

const STEPS = 40;
const WORKERS = 3;
const PAUSES_MS = [0, 10, 30, 100, 300];
/** A process takes a second to start, and must get to work before it is killed. */
const PROCESS_PAUSES_MS = [0, 100, 300, 1_000, 2_000];

/** Runs one world. */
export async function runEpisode(options: EpisodeOptions): Promise<EpisodeReport> {
  const { seed, server, store: kind, processes, steps = STEPS } = options;
  const startedAt = performance.now();
  const tally = new Tally(), random = new Random(seed);
  await using database = await createTestDatabase("sim", server.url);
  await using admin = await openAdmin(database.url);
  await using bucket = await makeBucket(kind);
  await using proxy = await startFaultProxy(bucket.options.endpoint!);
  const statements = new StatementFaults(tally),
    faults = new ServerFaults({ server, admin, tally });
  await using producers = new Producers({
    databaseUrl: database.url,
    store: bucket.store,
    repoIds: REPO_IDS,
    statements,
    tally,
    random: new Random(seed + 1),
  });
  const { pushed } = producers;
  const storeFaults = new StoreFaults(tally, (target) => sizeOf(pushed, target));
  proxy.otherwise = storeFaults.next;
  const { url: databaseUrl } = database, { endpoint } = proxy;
  const startWorker: StartWorker = (name, env) => {
    const parts = { name, env, databaseUrl, tally };
    return processes ? startRealWorker({ ...parts, bucket, endpoint }) : startSimulatedWorker({
      ...parts,
      statements,
      openStore: (config, send) => openThrough(endpoint, bucket, config, send),
    });
  };
  const workers = new Workers(WORKERS, startWorker, tally);

  const deeds: [weight: number, most: number, deed: () => unknown][] = [
    [14, 4, () => producers.push(random)],
    [7, 3, () => statements.arm(random)],
    [7, 3, () => storeFaults.arm(random)],
    [3, 1, () => faults.terminate(random)],
    [2, 1, () => faults.deadlock(random)],
    [1, 1, () => faults.lock(random)],
    [1, 1, () => faults.restart()],
    [3, 1, () => workers.kill(random)],
    [2, 2, () => workers.stop(random)],
    [1, 1, () => workers.drain(random)],
    [2, 1, () => producers.cancel(random)],
  ];
  const lots = deeds.flatMap(([weight, ...deed]) => Array.from({ length: weight }, () => deed));
  const problems: string[] = [];
  let step = 0;
  try {
    for (; step < steps && problems.length === 0; step++) {
      const [most, deed] = random.pick(lots), times = 1 + random.below(most);
      for (let i = 0; i < times; i++) await deed();
      if (random.once(4)) await producers.catchUp();
      await pause(random.pick(processes ? PROCESS_PAUSES_MS : PAUSES_MS));
      await workers.continue();
      if (processes) await insist(() => hurry(admin));
      problems.push(...problemsAt(await insist(() => takeSnapshot(admin)), pushed));
      problems.push(...workers.problems());
    }
    statements.disarm();
    storeFaults.disarm();
    await faults.settled();
    await producers.catchUp();
    tally.note("no more faults");
    await workers.calmDown();
    if (problems.length === 0) await settled(admin);
  } catch (error) {
    problems.push(`the simulator itself failed: ${(error as Error).stack}`);
  } finally {
    await workers.end();
  }
  const last = await takeSnapshot(admin);
  if (problems.length === 0) problems.push(...problemsInTheEnd(last, pushed));
  problems.push(...workers.problems().filter((problem) => !problems.includes(problem)));
  problems.push(...await leaks(admin, proxy));
  if (problems.length === 0) {
    problems.push(...await differencesToCleanRun({ server, admin, pushed, store: bucket.store }));
  }
  const ends: Record<string, number> = {};
  for (const { status } of last.jobs) ends[status] = (ends[status] ?? 0) + 1;
  return {
    seed,
    steps: step,
    jobs: last.jobs.length,
    ends,
    faults: tally.faults,
    elapsedMs: performance.now() - startedAt,
    problems: [...new Set(problems)],
    events: tally.events,
  };
}

async function openAdmin(url: string): Promise<Database & AsyncDisposable> {
  const db = connectDatabase(url, { maxConnections: 4, applicationName: "simulator" });
  await migrate(db);
  await addRepos(db, ...REPO_IDS);
  await installOracle(db);
  return { ...db, [Symbol.asyncDispose]: () => db.close() };
}

/** The length of the pack that a path names. */
function sizeOf({ packs }: Pushed, target: string): number | undefined {
  const path = decodeURIComponent(new URL(target, "http://store").pathname);
  const [, repoId, mpackKey] = /\/mpacks\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  return mpackKey === undefined ? undefined : packs.get(nameOf({ repoId, mpackKey }))?.bytes.length;
}
