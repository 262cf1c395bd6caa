/**
 * The profiles of the simulator: what is run, what is broken meanwhile, and how much of it.
 *
 * @module
 */

import { startTestServer, type TestServer } from "../support/postgres/test_server.ts";
import { Random } from "../fuzz/random.ts";
import { runEpisode } from "./episode.ts";
import { killedAudit, killedGc, killedHistory } from "./maintenance.ts";
import { killedMaterialize, killedPhases, killedResume } from "./one_pack.ts";
import { quotas } from "./quotas.ts";
import type { ProfileOptions, Report } from "./report.ts";
import {
  allFaults,
  allFaultsOnProcesses,
  brokenDatabase,
  killedWorkers,
  type Scenario,
} from "./scenario.ts";
import { shards } from "./shards.ts";
import { soak } from "./soak.ts";
import type { StoreKind } from "./stores.ts";
import { webhooks } from "./webhooks.ts";
import { Tally } from "./tally.ts";

/** How to run a profile once. */
export interface RunOptions {
  /** Decides what happens. */
  readonly seed: number;
  /** 1: the sizes that the documents promise. */
  readonly share: number;
  /** Steps of an episode, where its length is not given by a queue. */
  readonly steps: number;
  /** The store of an episode. */
  readonly store: StoreKind;
  /** The server of an episode, see {@link startSimulatorServer}. */
  readonly server: TestServer;
}

/** A profile. */
export interface Profile {
  /** What it does, in one line. */
  readonly what: string;
  /** Runs it once. Whatever goes wrong is a problem of the report. */
  run(options: RunOptions): Promise<Report>;
}

/** All profiles, by name. */
export const PROFILES = {
  faults: episodes(
    "every fault of workers, statements, store and server; workers in this process",
    ({ steps }) => allFaults(steps),
  ),
  processes: episodes(
    "the same faults; each worker is a process, with real signals and a wrong clock",
    ({ steps }) => allFaultsOnProcesses(steps),
  ),
  kills: episodes(
    "eight workers and 2,000 packs; one worker is killed every two seconds",
    ({ share }) => killedWorkers(share),
  ),
  database: episodes(
    "four workers and 1,500 packs; sessions are terminated, the server restarts",
    ({ share }) => brokenDatabase(share),
  ),
  phases: alone("one `index FILE` of 100,000 objects, killed in each phase", killedPhases),
  resume: alone("one `index KEY` of 4 GiB, killed twenty times", killedResume),
  materialize: alone("one `index --materialize`, killed while it writes blobs", killedMaterialize),
  gc: alone("`gc`, killed beside pushes and jobs", killedGc),
  history: alone("`gc` and `repack`, killed beside pushes of histories", killedHistory),
  audit: alone("`audit`, killed at random moments", killedAudit),
  quotas: alone("pushes, jobs, gc and deletions of tenants with quotas, among faults", quotas),
  webhooks: alone("events, deliverers that die and receivers that fail, among faults", webhooks),
  shards: alone("two servers of shards that are moved, among faults of all processes", shards),
  soak: alone("10,000 small and 20 large jobs through one worker that must not grow", soak),
} satisfies Record<string, Profile>;

/** The name of a profile. */
export type ProfileName = keyof typeof PROFILES;

/** Starts the server that episodes need. */
export function startSimulatorServer(): Promise<TestServer> {
  // A commit that was acknowledged survives an immediate restart, and a deadlock is found before a
  // statement's deadline.
  return startTestServer({ settings: { synchronous_commit: "on", deadlock_timeout: "50ms" } });
}

/** A profile that runs an episode. */
function episodes(what: string, scenarioOf: (options: RunOptions) => Scenario): Profile {
  return { what, run: (options) => runEpisode({ ...options, scenario: scenarioOf(options) }) };
}

/** A profile that has a driver of its own, which throws what it finds wrong. */
function alone(
  what: string,
  drive: (options: ProfileOptions) => Promise<Record<string, number>>,
): Profile {
  return {
    what,
    async run({ seed, share, server }) {
      const startedAt = performance.now(), tally = new Tally(), problems: string[] = [];
      let facts = {};
      try {
        facts = await drive({ random: new Random(seed), tally, share, server });
      } catch (error) {
        problems.push((error as Error).stack ?? String(error));
      }
      const { faults, events } = tally;
      return { seed, elapsedMs: performance.now() - startedAt, facts, faults, problems, events };
    },
  };
}
