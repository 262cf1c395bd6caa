/**
 * A server of the HTTP API, with or without a worker, from its start to its end.
 *
 * @module
 */

import { getLogger } from "@logtape/logtape";
import { createApi } from "../../http/app.ts";
import { createProbes } from "../../http/probes.ts";
import { openHttp } from "../../http/open_http.ts";
import { checkOpenMode } from "../../http/auth/open_mode.ts";
import { mintOpenToken } from "../../http/auth/token.ts";
import type { RefusedWhy } from "../../http/server/front.ts";
import { listen, listenForProbes } from "../../http/server/server.ts";
import type { Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import { Replica } from "../../db/client/replica.ts";
import type { ShardPools } from "../../db/shards/shard_pools.ts";
import { hasIdentities } from "../../db/identities.ts";
import { countUses, StoreUses } from "../../maintenance/store_uses.ts";
import { MetricsRegistry } from "../../jobs/worker/metrics.ts";
import { movedBlobsOpened } from "../../objects/open_version.ts";
import { parseCount } from "../flags.ts";
import { logStart, openLog } from "../log.ts";
import { print } from "../output.ts";
import { VERSION } from "../version.ts";
import { openWorker, ping, storeCheck } from "../open_worker.ts";
import { openResources } from "../resources.ts";
import { observeRequests } from "../request_log.ts";
import { workerName } from "../worker_name.ts";

/** A pack that another process replaced is read in its old version for so long; objects are hashed. */
const KEEP_OPEN_MS = 1_000;
/** The fewest connections for reads, logins and small writes. */
const READ_CONNECTIONS = 8;
/** Connections of the worker besides one per job: for claims and heartbeats. */
const SPARE_CONNECTIONS = 2;

/** What is served, and where. */
export interface ServeFlags {
  readonly port: string;
  readonly host: string;
  readonly worker?: boolean;
  readonly open?: boolean;
  readonly uiOnly?: boolean;
}

/** Serves until `signal` fires and what runs has ended, or `force` fires. */
export async function serve(
  flags: ServeFlags,
  config: Config,
  signal: AbortSignal,
  force: AbortSignal,
): Promise<void> {
  openLog({ level: config.logLevel });
  const port = parseCount("--port", flags.port, { max: 65_535 });
  const log = getLogger(["mpackd", "http"]);
  const maxConnections = Math.max(config.databaseConnections, READ_CONNECTIONS);
  await using resources = await openResources(config, {
    isWriting: true,
    maxConnections,
    keepOpenMs: KEEP_OPEN_MS,
  });
  const { db, store, connect } = resources;
  // Pools apart: neither a push nor a job makes a read wait for a connection.
  await using pools = new AsyncDisposableStack();
  const openPool = (maxConnections: number, { isForWorker = false } = {}) => {
    const statementTimeoutMs = config.databaseTimeoutMs;
    const pool = connect({ maxConnections, statementTimeoutMs, isForWorker });
    pools.defer(() => pool.close());
    return pool;
  };
  if (flags.open) await checkOpenMode(db, flags.host);
  else if (!await hasIdentities(db)) {
    log.warn("No identity exists, so nobody can push: see mpackd identity, or serve --open");
  }
  const openToken = flags.open ? mintOpenToken() : undefined;
  const jobConnections = config.concurrency + SPARE_CONNECTIONS;
  await using working = flags.worker
    ? openWorker({ ...resources, db: openPool(jobConnections, { isForWorker: true }) }, config, {
      signal,
      force,
    })
    : undefined;
  const uses = new StoreUses({ db, store, config, shards: resources.shards, signal });
  // A worker counts for itself.
  if (!working) {
    countUses(() => uses.count(), (error) => log.warn("{error}", { error: error.message }));
  }
  const metrics = working?.metrics.registry ?? new MetricsRegistry();
  metrics.gauge({
    name: "moved_blobs_opened",
    help: "Blobs read in another version than the indexed one: the store was moved. Run audit.",
  }, () => [[movedBlobsOpened(), {}]]);
  const checks = working?.checks ?? {
    database: () => ping(db),
    store: storeCheck(store),
    not_draining: () => !signal.aborted,
  };
  const context = await openHttp({
    db,
    pushDb: openPool(config.httpPushConnections),
    shards: {
      pools: resources.shards,
      pushPools: pools.use(resources.shards.another(config.httpPushConnections)),
      async storeOf(shard, db) {
        const store = await resources.storeOf(shard, db);
        uses.add(shard, db, store);
        return store;
      },
    },
    ...replicaOf(db, resources.shards, config),
    store,
    config,
    worker: workerName(config.home),
    signal,
    force: timeUp(signal, force, config.drainMs),
    probes: createProbes({ checks, metrics }),
    onRequest: observeRequests(metrics),
    onCut: ({ requestId, error }) =>
      log.with({ request_id: requestId, error: String(error) }).warn("An answer was cut off"),
    ...(openToken === undefined ? {} : { openToken }),
  });
  await using server = listen(createApi(context, VERSION, { isConsoleOnly: flags.uiOnly }), {
    hostname: flags.host,
    port,
    config,
    closeMs: config.drainMs,
    onRefused: refusals(metrics),
  });
  await using _probes = config.httpPort === 0
    ? undefined
    : listenForProbes(config, { checks, metrics });
  logStart("serve", resources, config, { jobs: flags.worker ? config.concurrency : 0 });
  log.info(`Listening on ${server.url}; the console is at ${server.url}/ui`);
  if (openToken !== undefined) {
    await print(`Until an identity exists: Authorization: Bearer ${openToken}`);
    await print(`In a browser: ${server.url}/ui/login?token=${openToken}`);
  }
  if (working) await working.run();
  else if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
}

/** The standby of the catalog, if the settings name one. */
function replicaOf(
  primary: Database,
  shards: ShardPools,
  { databaseReplicaUrl: url }: Config,
): { readonly replica?: Replica } {
  if (url === undefined) return {};
  return { replica: new Replica({ primary, replica: shards.standby(url, undefined) }) };
}

/** Fires `drainMs` after `signal`, or with `force`. */
function timeUp(signal: AbortSignal, force: AbortSignal, drainMs: number): AbortSignal {
  const over = new AbortController();
  signal.addEventListener("abort", () => Deno.unrefTimer(setTimeout(() => over.abort(), drainMs)));
  return AbortSignal.any([over.signal, force]);
}

/** Counts connections that were closed or not accepted. */
function refusals(metrics: MetricsRegistry): (why: RefusedWhy) => void {
  const count = metrics.counter({
    name: "http_connections_refused",
    help: "Connections not accepted, or closed because they were quiet for too long.",
    labels: ["why"],
  });
  return (why) => count(1, { why });
}
