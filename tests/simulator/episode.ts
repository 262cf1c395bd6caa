/**
 * One episode: producers, workers, a store and a database, and the faults that a seed brings. The
 * whole database is checked while the faults go on, and again when they have stopped.
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
import { hurry, leaks, openJobs, settled } from "./oracles/endings.ts";
import { nameOf, problemsAt, problemsInTheEnd, type Pushed } from "./oracles/oracles.ts";
import { type StartWorker, Workers } from "./faults/worker_faults.ts";
import { Producers } from "./producers.ts";
import { ServerFaults } from "./faults/server_faults.ts";
import type { Report } from "./report.ts";
import type { Action, Scenario } from "./scenario.ts";
import { takeSnapshot } from "./oracles/snapshot.ts";
import { StatementFaults } from "./faults/statement_faults.ts";
import { StoreFaults } from "./faults/store_faults.ts";
import { makeBucket, openThrough, type StoreKind } from "./stores.ts";
import { Tally } from "./tally.ts";
import { startSimulatedWorker } from "./workers/worker_here.ts";
import { insist, pause } from "./waits.ts";
import { startRealWorker } from "./workers/worker_elsewhere.ts";

/** How to run an episode. */
export interface EpisodeOptions {
  /** Decides packs, actions and faults. */
  readonly seed: number;
  /** The database server; faults restart it. */
  readonly server: TestServer;
  /** The store. */
  readonly store: StoreKind;
  /** What the episode is made of. */
  readonly scenario: Scenario;
}

/** Runs one episode. */
export async function runEpisode(options: EpisodeOptions): Promise<Report> {
  const { seed, server, store: kind, scenario } = options;
  const startedAt = performance.now();
  const repoIds = Array.from({ length: scenario.repos }, (_, i) => `repo-${i + 1}`);
  const tally = new Tally(), random = new Random(seed);
  await using database = await createTestDatabase("sim", server.url);
  await using admin = await openAdmin(database.url, repoIds);
  await using bucket = await makeBucket(kind);
  await using proxy = await startFaultProxy(bucket.options.endpoint!);
  const statements = new StatementFaults(tally),
    faults = new ServerFaults({ server, admin, tally });
  await using producers = new Producers({
    databaseUrl: database.url,
    store: bucket.store,
    repoIds,
    smallPacks: scenario.smallPacks,
    statements,
    tally,
    random: new Random(seed + 1),
  });
  const { pushed } = producers;
  const storeFaults = new StoreFaults(tally, (target) => sizeOf(pushed, target));
  proxy.otherwise = storeFaults.next;
  const { url: databaseUrl } = database, { endpoint } = proxy;
  const startWorker: StartWorker = (name, env) => {
    const common = { name, env, databaseUrl, tally };
    if (scenario.processes) return startRealWorker({ ...common, bucket, endpoint });
    return startSimulatedWorker({
      ...common,
      statements,
      openStore: (config, send) => openThrough(endpoint, bucket, config, send),
    });
  };
  // A full queue: workers that start earlier would keep it empty.
  for (let i = 0; i < scenario.packs; i++) await producers.push(random);
  await producers.catchUp();
  const workers = new Workers(scenario.workers, startWorker, tally);

  const actions: Record<Action, [most: number, act: () => unknown]> = {
    push: [4, () => producers.push(random)],
    statement: [3, () => statements.arm(random)],
    store: [3, () => storeFaults.arm(random)],
    terminate: [1, () => faults.terminate(random)],
    deadlock: [1, () => faults.deadlock(random)],
    lock: [1, () => faults.lock(random)],
    restart: [1, () => faults.restart()],
    kill: [1, () => workers.kill(random)],
    stop: [2, () => workers.stop(random)],
    drain: [1, () => workers.drain(random)],
    cancel: [1, () => producers.cancel(random)],
  };
  const lots = Object.entries(scenario.weights)
    .flatMap(([action, weight]) => Array<Action>(weight).fill(action as Action));
  const problems: string[] = [];
  const endsAt = performance.now() + scenario.minimumMs;
  const isOn = async () =>
    scenario.steps === "queue"
      ? performance.now() < endsAt || await insist(() => openJobs(admin)) > 0
      : step < scenario.steps;
  let step = 0;
  try {
    if (scenario.opening.length > 0) await workers.isOneBusy();
    for (; problems.length === 0 && (step < scenario.opening.length || await isOn()); step++) {
      const [most, act] = actions[scenario.opening[step] ?? random.pick(lots)];
      const times = 1 + random.below(most);
      for (let i = 0; i < times; i++) await act();
      if (random.once(4)) await producers.catchUp();
      await pause(random.pick(scenario.pausesMs));
      await workers.continue();
      if (scenario.processes) await insist(() => hurry(admin));
      if (step % scenario.lookEvery === 0) {
        problems.push(...problemsAt(await insist(() => takeSnapshot(admin)), pushed));
      }
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
    problems.push(
      ...await differencesToCleanRun({ server, admin, pushed, store: bucket.store, repoIds }),
    );
  }
  const ends: Record<string, number> = {};
  for (const { status } of last.jobs) ends[status] = (ends[status] ?? 0) + 1;
  return {
    seed,
    elapsedMs: performance.now() - startedAt,
    facts: { steps: step, jobs: last.jobs.length, ...ends, rescues: tally.rescues },
    faults: tally.faults,
    problems: [...new Set(problems)],
    events: tally.events,
  };
}

async function openAdmin(
  url: string,
  repoIds: readonly string[],
): Promise<Database & AsyncDisposable> {
  const db = connectDatabase(url, { maxConnections: 4, applicationName: "simulator" });
  await migrate(db);
  await addRepos(db, ...repoIds);
  await installOracle(db);
  return { ...db, [Symbol.asyncDispose]: () => db.close() };
}

/** The length of the pack that a path names. */
function sizeOf({ packs }: Pushed, target: string): number | undefined {
  const path = decodeURIComponent(new URL(target, "http://store").pathname);
  const [, repoId, mpackKey] = /\/mpacks\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  return mpackKey === undefined ? undefined : packs.get(nameOf({ repoId, mpackKey }))?.bytes.length;
}
