/**
 * A store on an S3 double, with a proxy between them that brings about faults.
 *
 * @module
 */
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { openS3Store, type S3StoreOptions } from "../../../src/stream/store/s3/s3_store.ts";
import { type FaultProxy, startFaultProxy } from "./fault_proxy.ts";
import { type S3Double, startS3Double } from "./s3_double.ts";

/** What a test of the S3 store gets. */
export interface S3Fixture {
  /** The store, on the bucket `bucket`. It does not wait between tries. */
  readonly store: BlobStore;
  /** The proxy that the store sends its requests to. */
  readonly proxy: FaultProxy;
  /** The double behind the proxy. */
  readonly double: S3Double;
  /** How long the store wanted to wait, before each further try. */
  readonly sleepsMs: number[];
}

/** Runs a test, and stops the servers when it ends. */
export async function withS3Double(
  use: (fixture: S3Fixture) => Promise<void>,
  options: Partial<S3StoreOptions> = {},
): Promise<void> {
  await using double = startS3Double();
  await using proxy = await startFaultProxy(double.endpoint);
  const sleepsMs: number[] = [];
  const store = openS3Store({
    bucket: "bucket",
    endpoint: proxy.endpoint,
    region: "us-east-1",
    accessKeyId: "key",
    secretAccessKey: "secret",
    retries: 3,
    random: () => 1,
    sleep: (ms) => {
      sleepsMs.push(ms);
      return Promise.resolve();
    },
    ...options,
  });
  await use({ store, proxy, double, sleepsMs });
}
