/**
 * Opens what the API needs, from the settings and an open database and store.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { forgetSignatures } from "../db/identities.ts";
import { ClientPublishers } from "../db/publish/client_publishers.ts";
import { sharedSecret } from "../db/secrets.ts";
import { PushStarter } from "../jobs/index/begin_push.ts";
import { ShardPools } from "../db/shards/shard_pools.ts";
import { ConfigError } from "../errors.ts";
import { KeyedLimit } from "../lib/keyed_limit.ts";
import { Authenticator, type AuthenticatorOptions } from "./auth/authenticate.ts";
import { GuessLimit } from "./auth/guess_limit.ts";
import { sleep } from "../lib/sleep.ts";
import { BodyBudget } from "./body/body_budget.ts";
import { RateLimit } from "./rate_limit.ts";
import type { ApiContext } from "./context.ts";
import { type HttpShards, placesOf } from "./shards/places.ts";

const SWEEP_MS = 60_000;

/**
 * What the caller has opened. Without `probes` their three routes answer 404; without `pushDb`, pushes
 * use the connections of `db`.
 */
export type OpenHttpOptions =
  & Omit<
    ApiContext,
    | "at"
    | "auth"
    | "catalog"
    | "shards"
    | "bodies"
    | "rateLimit"
    | "uploadSecret"
    | "probes"
    | "pushDb"
    | "pushLimit"
    | "publishers"
    | "starter"
  >
  & Partial<Pick<ApiContext, "probes" | "pushDb">>
  & Pick<AuthenticatorOptions, "openToken">
  & {
    /** How to reach the catalog's shards. Default: not at all. */
    readonly shards?: HttpShards;
  };

/** Makes the context, and deletes expired signatures every minute until `signal` fires. */
export async function openHttp(options: OpenHttpOptions): Promise<ApiContext> {
  const { openToken, pushDb = options.db, shards: given, ...opened } = options;
  const { db, config, signal } = opened;
  sweepSignatures(db, signal);
  const rateLimit = new RateLimit({
    requestsPerMinute: config.httpRequestsPerMinute,
    uploads: config.httpUploads,
    requestsAtOnce: config.httpConnectionsPerAddress,
  });
  // Half of them, so that no client makes another one wait.
  const pushLimit = new KeyedLimit(Math.ceil(config.httpPushConnections / 2));
  const shards = given ?? unreachableShards(db);
  const context: ApiContext = {
    get catalog() {
      return context;
    },
    shards: shards.pools,
    at: placesOf(() => context, shards),
    probes: () => Promise.resolve(undefined),
    ...opened,
    pushDb,
    pushLimit,
    starter: new PushStarter(pushDb),
    publishers: new ClientPublishers(pushDb, pushLimit),
    auth: new Authenticator({
      db,
      guesses: new GuessLimit(rateLimit),
      signatureMs: config.httpSignatureMs,
      ...(config.httpUrl === undefined ? {} : { publicUrl: config.httpUrl }),
      ...(openToken === undefined ? {} : { openToken }),
    }),
    bodies: new BodyBudget(config.httpBodiesBytes),
    rateLimit,
    uploadSecret: await sharedSecret(db, "upload-urls"),
  };
  return context;
}

/** Shards of a catalog for a server that was not told its URL: a repo there is refused. */
function unreachableShards(catalog: Database): HttpShards {
  const pools = new ShardPools({ catalog, catalogUrl: "", maxConnections: 0 });
  return {
    pools,
    pushPools: pools,
    storeOf: () => Promise.reject(new ConfigError("Cannot open a shard's store: it has none")),
  };
}

async function sweepSignatures(db: Database, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(SWEEP_MS, signal).catch(() => {});
    // If the database is away, the next sweep deletes these, too.
    if (!signal.aborted) await forgetSignatures(db).catch(() => {});
  }
}
