/**
 * A worker, from its start to its end.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { CancelledError } from "../../errors.ts";
import { listenForProbes } from "../../http/server/server.ts";
import { readShardNames } from "../../jobs/shards/shard_workers.ts";
import { logStart, openLog } from "../log.ts";
import { openWorker } from "../open_worker.ts";
import { openResources } from "../resources.ts";

/** Connections for heartbeat and claim, besides one for each job. */
const SPARE_CONNECTIONS = 2;

/** Which jobs a worker takes, and when it ends. */
export interface WorkFlags {
  /** Ends when no job is due. */
  readonly drain?: boolean;
  /** Shards, separated by commas, or `all`. */
  readonly shards: string;
}

/** Runs jobs until `signal` fires and what runs has ended, or `force` fires. */
export async function work(
  flags: WorkFlags,
  config: Config,
  signal: AbortSignal,
  force: AbortSignal,
): Promise<void> {
  const { concurrency } = config;
  openLog({ level: config.logLevel });
  const maxConnections = Math.max(config.databaseConnections, concurrency + SPARE_CONNECTIONS);
  await using resources = await openResources(config, {
    isWriting: true,
    isForWorker: true,
    maxConnections,
  });
  const names = flags.shards === "all" ? undefined : readShardNames(
    flags.shards,
    (await resources.shards.all()).map(({ name }) => name),
  );
  const end = { signal, force, untilEmpty: flags.drain };
  await using working = openWorker(resources, config, end, names);
  const { metrics, checks } = working;
  await using _http = config.httpPort === 0 ? undefined : listenForProbes(config, {
    checks,
    metrics: metrics.registry,
  });
  logStart("worker", resources, config, { jobs: concurrency });
  await working.run();
  for (const error of working.away.values()) throw error;
  if (force.aborted) throw new CancelledError("Interrupted twice: running jobs were released");
}
