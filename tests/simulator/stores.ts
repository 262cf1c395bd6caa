/**
 * The stores of the simulator: an S3 server in this process, or Swift. Workers reach it through a
 * proxy that injects faults.
 *
 * @module
 */

import type { Config } from "../../src/config/config.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import type { S3Credentials } from "../../src/stream/store/s3/sign.ts";
import { openS3Store, type S3StoreOptions } from "../../src/stream/store/s3/s3_store.ts";
import { startS3Double } from "../support/store/s3_double.ts";

/** Which server. */
export type StoreKind = "double" | "swift";

/** A bucket without faults. */
export interface Bucket extends AsyncDisposable {
  /** How to open it. */
  readonly options: S3StoreOptions & S3Credentials;
  /** The same, opened. */
  readonly store: BlobStore;
}

/** Makes a bucket; disposing of it deletes it. */
export async function makeBucket(kind: StoreKind): Promise<Bucket> {
  if (kind === "swift") {
    // The import starts the engine.
    const swift = await import("../support/store/swift.ts");
    return await swift.makeBucket();
  }
  const double = startS3Double();
  const options = {
    bucket: "sim",
    endpoint: double.endpoint,
    region: "us-east-1",
    accessKeyId: "key",
    secretAccessKey: "secret",
  };
  const close = () => double[Symbol.asyncDispose]();
  return { options, store: openS3Store(options), [Symbol.asyncDispose]: close };
}

/** The bucket through another endpoint, as a simulated worker opens it. */
export function openThrough(
  endpoint: string,
  { options }: Bucket,
  { storeRetries, storeIdleMs }: Config,
  send: typeof fetch,
): BlobStore {
  return openS3Store({
    ...options,
    endpoint,
    fetch: send,
    retries: storeRetries,
    retryBaseMs: 5,
    retryCapMs: 50,
    idleTimeoutMs: storeIdleMs,
  });
}
