/**
 * The S3 engine that tests use, started once per test run.
 *
 * `MPACKD_TEST_S3=http://ACCESS_KEY:SECRET_KEY@host:port/?region=us-east-1` names another one (both
 * keys percent-encoded). With neither that nor Swift installed, {@link s3Engine} is undefined, and
 * the suites that need it are ignored.
 *
 * @module
 */
import { S3Client as S3LiteClient } from "@bradenmacdonald/s3-lite-client";
import { fileURLToPath } from "node:url";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import type { S3Credentials } from "../../../src/stream/store/s3/sign.ts";
import { openS3Store, type S3StoreOptions } from "../../../src/stream/store/s3/s3_store.ts";
import type { S3Engine } from "../../../scripts/swift.ts";

const ENV = "MPACKD_TEST_S3";

/** The engine, or undefined where there is none. */
export const s3Engine: S3Engine | undefined = await findEngine();

/** A new bucket of the engine. Disposing deletes it and its objects. */
export interface TempBucket extends AsyncDisposable {
  /** How to open a store on it. */
  readonly options: S3StoreOptions & S3Credentials;
  /** A store that is the whole bucket. */
  readonly store: BlobStore;
  /** Another client of the bucket. */
  readonly admin: S3LiteClient;
}

/** Makes a bucket. Throws if there is no {@link s3Engine}. */
export async function makeBucket(overrides: Partial<S3StoreOptions> = {}): Promise<TempBucket> {
  if (s3Engine === undefined) throw new Error("Cannot make a bucket: there is no S3 engine");
  const { endpoint, region, accessKeyId, secretAccessKey } = s3Engine;
  const bucket = `mpackd-test-${crypto.randomUUID()}`;
  const options = { bucket, endpoint, region, accessKeyId, secretAccessKey, ...overrides };
  const admin = new S3LiteClient({
    endPoint: endpoint,
    region,
    bucket,
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
  });
  await admin.makeBucket(bucket);
  const whole = openS3Store({ ...options, endpoint, prefix: "" });
  return {
    options,
    store: openS3Store(options),
    admin,
    async [Symbol.asyncDispose]() {
      for await (const { key } of whole.list("")) await whole.delete(key);
      await admin.removeBucket(bucket);
    },
  };
}

async function findEngine(): Promise<S3Engine | undefined> {
  const given = Deno.env.get(ENV);
  if (given !== undefined) return parseEngine(given);
  if (!isInstalled("swift-proxy-server") || !isInstalled("memcached")) {
    console.warn(`S3 suites are ignored: Swift is not installed and ${ENV} is not set`);
    return undefined;
  }
  const script = fileURLToPath(import.meta.resolve("../../../scripts/swift.ts"));
  // It ends when this process ends, not when a test file ends: the next file uses it, too.
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, "--while-pid", String(Deno.pid)],
    stdin: "null",
    stdout: "piped",
    detached: true,
  }).spawn();
  process.unref();
  let line = "";
  for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.includes("\n")) break;
  }
  const engine: S3Engine = JSON.parse(line);
  const url = new URL(engine.endpoint);
  url.username = encodeURIComponent(engine.accessKeyId);
  url.password = encodeURIComponent(engine.secretAccessKey);
  url.searchParams.set("region", engine.region);
  // For the next test file of this run.
  Deno.env.set(ENV, url.href);
  return engine;
}

function parseEngine(text: string): S3Engine {
  const url = new URL(text);
  return {
    endpoint: url.origin,
    region: url.searchParams.get("region") ?? "us-east-1",
    accessKeyId: decodeURIComponent(url.username),
    secretAccessKey: decodeURIComponent(url.password),
  };
}

function isInstalled(command: string): boolean {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return folders.some((folder) => {
    try {
      return Deno.statSync(`${folder}/${command}`).isFile;
    } catch {
      return false;
    }
  });
}
