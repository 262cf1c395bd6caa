/**
 * What the HTTP API works with.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import type { Gate } from "./rate_limit.ts";

/** One request that has been answered, for the log and the metrics. */
export interface RequestRecord {
  /** Names the request in answers and logs. */
  readonly requestId: string;
  /** GET, PUT, … */
  readonly method: string;
  /** The route as the API's description has it, so that there are few of them. */
  readonly route: string;
  /** What was answered. */
  readonly status: number;
  /** From the first line of the request to the head of the answer, in milliseconds. */
  readonly elapsedMs: number;
  /** The handle of who asked; undefined without a signature or token. */
  readonly handle: string | undefined;
  /** What nobody foresaw. */
  readonly error?: Error;
}

/** The real parts behind the routes. */
export interface ApiParts {
  /** The database. */
  readonly db: Database;
  /** Where packs lie. */
  readonly store: BlobStore;
  /** The settings. */
  readonly config: Config;
  /** Finds out who asks. */
  readonly auth: Authenticator;
  /** Counts requests and uploads. */
  readonly gate: Gate;
  /** Signs the upload URLs of a store that cannot. */
  readonly uploadSecret: Uint8Array;
  /** The name left on the rows of jobs that run inside a request. */
  readonly worker: string;
  /** Fires when the server stops; ends what only waits. */
  readonly signal: AbortSignal;
  /** Fires when time is up for what still runs then. */
  readonly force: AbortSignal;
  /** Answers `/healthz`, `/readyz` and `/metrics`. */
  readonly health: (request: Request) => Promise<Response | undefined>;
  /** Told of every request. */
  readonly onRequest?: (record: RequestRecord) => void;
}
