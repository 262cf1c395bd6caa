/**
 * The parts of the API, made of the settings and what is open already.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import { forgetSignatures } from "../db/identities.ts";
import { sharedSecret } from "../db/secrets.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { Authenticator } from "./auth/authenticate.ts";
import { Gate } from "./rate_limit.ts";
import type { ApiParts, RequestRecord } from "./context.ts";

const SWEEP_MS = 60_000;

/** What the parts are made of. */
export interface OpenApiOptions {
  /** The database. */
  readonly db: Database;
  /** Where packs lie. */
  readonly store: BlobStore;
  /** The settings. */
  readonly config: Config;
  /** The name left on the rows of jobs that run inside a request. */
  readonly worker: string;
  /** Fires when the server stops; ends the sweeping, too. */
  readonly signal: AbortSignal;
  /** Fires when time is up for uploads that still run then. */
  readonly force: AbortSignal;
  /** Answers `/healthz`, `/readyz` and `/metrics`. Default: nothing does. */
  readonly health?: ApiParts["health"];
  /** Told of every request. */
  readonly onRequest?: (record: RequestRecord) => void;
}

/** Makes the parts, and forgets old signatures every minute until `signal` fires. */
export async function openApi(options: OpenApiOptions): Promise<ApiParts> {
  const { db, config, signal } = options;
  const sweep = setInterval(() => forgetSignatures(db).catch(() => {}), SWEEP_MS);
  signal.addEventListener("abort", () => clearInterval(sweep));
  const noHealth = () => Promise.resolve(undefined);
  return {
    ...options,
    health: options.health ?? noHealth,
    auth: new Authenticator({
      db,
      signatureMs: config.httpSignatureMs,
      ...(config.httpUrl === undefined ? {} : { publicUrl: config.httpUrl }),
    }),
    gate: new Gate({
      requestsPerMinute: config.httpRequestsPerMinute,
      uploads: config.httpUploads,
    }),
    uploadSecret: await sharedSecret(db, "upload-urls"),
  };
}
