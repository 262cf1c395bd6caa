/**
 * What every route of the HTTP API works with.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import type { Replica } from "../db/client/replica.ts";
import type { ClientPublishers } from "../db/publish/client_publishers.ts";
import type { PushStarter } from "../jobs/index/begin_push.ts";
import type { RepoHome } from "../db/shards/shard.ts";
import type { ShardPools } from "../db/shards/shard_pools.ts";
import type { KeyedLimit } from "../lib/keyed_limit.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import type { BodyBudget } from "./body/body_budget.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { Answer } from "./server/answer.ts";

/** One answered request, for the log and the metrics. */
export interface RequestRecord {
  /** The `X-Request-Id` of the answer. */
  readonly requestId: string;
  readonly method: string;
  /** The route's pattern, not the path: metrics need few distinct values. */
  readonly route: string;
  readonly status: number;
  /** From the head of the request to the head of the answer, in milliseconds. */
  readonly elapsedMs: number;
  /** The caller's handle; undefined without a signature or token. */
  readonly handle: string | undefined;
  /** Why it was refused or failed; undefined below 400. */
  readonly refusal?: RequestRefusal;
  /** The error behind a status of 500 or more. */
  readonly error?: Error;
}

/** Why a request was refused, and what it was about. */
export interface RequestRefusal {
  readonly code: string;
  readonly detail: string;
  /** `owner/slug`, or the repo's id, as the path has it; undefined for other routes. */
  readonly repo: string | undefined;
  /** The pack's key, as far as the request names one. */
  readonly mpackKey: string | undefined;
}

/** The services and settings behind the routes, for the repos of one shard. */
export interface ApiContext {
  /** The shard that has the rows of the request's repo; the catalog where there is no repo. */
  readonly db: Database;
  /** The context of the catalog, which has repos by name, identities, tokens and quotas. */
  readonly catalog: ApiContext;
  /** The shards, for reads. */
  readonly shards: ShardPools;
  /**
   * The context of a repo's home.
   *
   * @throws {DatabaseError} If the shard cannot be reached.
   */
  at(home: RepoHome | undefined): Promise<ApiContext>;
  /**
   * The connections of statements that may wait for a lock: pushes, and changes of a job that may be
   * publishing. Reads never wait for one of them, because they have the connections of `db`.
   */
  readonly pushDb: Database;
  /** A standby of `db`, if there is one. */
  readonly replica?: Replica;
  /** Limits the connections of `pushDb` that wait for one client. */
  readonly pushLimit: KeyedLimit;
  /** Begins pushes over `pushDb`. */
  readonly starter: PushStarter;
  /** Publish over `pushDb`, within `pushLimit`. */
  readonly publishers: ClientPublishers;
  readonly store: BlobStore;
  readonly config: Config;
  readonly auth: Authenticator;
  readonly rateLimit: RateLimit;
  /** Bounds the request bodies in memory. */
  readonly bodies: BodyBudget;
  /** Signs upload URLs where the store cannot presign (a folder). */
  readonly uploadSecret: Uint8Array;
  /** The `locked_by` of jobs that run inside a request. */
  readonly worker: string;
  /** Fires when the server starts to stop: waits and event streams end. */
  readonly signal: AbortSignal;
  /** Fires when the time to drain is over: running uploads and reads are cut. */
  readonly force: AbortSignal;
  /** Answers `/healthz`, `/readyz` and `/metrics`; undefined for other paths. */
  readonly probes: (request: Request) => Promise<Answer | undefined>;
  readonly onRequest?: (record: RequestRecord) => void;
  /** Gets the errors that cut an answer off after its head was sent. */
  readonly onCut?: (cut: { readonly requestId: string; readonly error: unknown }) => void;
}
