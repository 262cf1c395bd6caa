/**
 * A pack of 256 KiB objects from each kind of store. The hash is the limit.
 *
 * @module
 */

import { type BlobStore, openStore } from "../../mod.ts";
import { type S3Engine, startSwift } from "../../scripts/swift.ts";
import { startLoopbackS3 } from "./loopback_s3.ts";
import { BUFFER_BYTES, openSha256 } from "../../src/hash/sha256.ts";
import { count, hashSpeed, MB, speedText, timed } from "./measure.ts";
import type { Part, Row } from "./row.ts";
import type { BenchResources, Pack } from "./resources.ts";

const OBJECT_BYTES = 256 * 1024;
const BUCKET = "bench";

/** Indexes 2 GiB from the folder, from a bare loopback server, and from Swift; each engine. */
export async function largeObjects(resources: BenchResources, share: number): Promise<Part> {
  const objects = Math.round(share * 2 * 1024 ** 3 / OBJECT_BYTES);
  const size = { kind: "range", minBytes: OBJECT_BYTES, maxBytes: OBJECT_BYTES } as const;
  const pack = await resources.make({ objects, size });
  const bytes = await Deno.readFile(pack.path);
  const contest = new Contest(resources, pack, bytes);
  const rows: Row[] = [];
  rows.push(...await contest.both("folder"));

  await using loopback = await startLoopbackS3(`${resources.folder}/blobs`);
  const bare = openStore(`s3://mpacks?endpoint=${loopback.endpoint}`, {
    accessKeyId: "any",
    secretAccessKey: "any",
  });
  // The bucket is the folder's first part; the rest of the key is the same.
  const env = { MPACK_BLOB_KEY: "{repo_id}/{mpack_key}" };
  rows.push(...await contest.both("bare loopback HTTP", bare, env));

  let missing: string | undefined;
  try {
    await using swift = await startSwift();
    const store = await uploaded(swift, resources, pack);
    const [wasm, native] = await contest.both("Swift", store);
    rows.push(wasm, await contest.shared(wasm, store), native);
  } catch (error) {
    missing = `Swift: ${(error as Error).message}`;
  }
  return { name: "large", rows, missing };
}

/** Measures the hash before and after each job, so that a busy machine slows both. */
class Contest {
  readonly #resources: BenchResources;
  readonly #pack: Pack;
  readonly #bytes: Uint8Array;
  #before = 0;

  constructor(resources: BenchResources, pack: Pack, bytes: Uint8Array) {
    this.#resources = resources;
    this.#pack = pack;
    this.#bytes = bytes;
  }

  async both(name: string, store?: BlobStore, env: Record<string, string> = {}): Promise<Row[]> {
    // Swift and the loopback server share the two cores with both threads: the folder has the aim.
    const aim = { atLeast: 0.95 };
    return [
      { ...await this.#row(name, "wasm", store, env), aim },
      await this.#row(name, "native", store, env),
    ];
  }

  /**
   * The same job against what the cores can do for both sides at once, where the store works on them
   * too: the blob read and dropped, and beside it hash-wasm over the bytes in memory.
   */
  async shared(job: Row, store: BlobStore): Promise<Row> {
    const { sizeBytes, mpackKey } = this.#pack, bytes = this.#bytes;
    const { seconds } = await timed(() =>
      Promise.all([
        drain(store, `mpacks/${this.#resources.repoId}/${mpackKey}`),
        hashInWorker(bytes),
      ])
    );
    const limit = sizeBytes / MB / seconds;
    return {
      what: job.what,
      ours: job.ours,
      against: `hash-wasm in memory beside a bare read from the store: ${speedText(limit)}`,
      value: parseInt(job.ours.replaceAll(",", "")) / limit,
    };
  }

  async #row(
    name: string,
    engine: string,
    store: BlobStore | undefined,
    env: Record<string, string>,
  ): Promise<Row> {
    const { sizeBytes } = this.#pack;
    await this.#resources.empty();
    const before = this.#before || await hashSpeed(this.#bytes);
    const { seconds } = await this.#resources.index(this.#pack, {
      env: { ...env, MPACK_HASH: engine },
      ...(store && { store }),
    });
    const after = this.#before = await hashSpeed(this.#bytes);
    const ours = sizeBytes / MB / seconds, limit = (before + after) / 2;
    return {
      what: `${count(sizeBytes / MB)} MB of 256 KiB objects, ${name}, ${engine}`,
      ours: speedText(ours),
      against: `hash-wasm in memory: ${speedText(limit)}`,
      value: ours / limit,
    };
  }
}

async function drain(store: BlobStore, key: string): Promise<void> {
  await using reader = await store.open(key);
  const buffer = new Uint8Array(BUFFER_BYTES);
  while (await reader.read(buffer) > 0);
}

async function hashInWorker(bytes: Uint8Array): Promise<void> {
  using hasher = await openSha256();
  for (let at = 0; at < bytes.length; at += BUFFER_BYTES) {
    const part = bytes.subarray(at, at + BUFFER_BYTES), buffer = await hasher.borrow();
    buffer.set(part);
    hasher.update(buffer, part.length);
  }
  await hasher.digest();
}

async function uploaded(
  engine: S3Engine,
  resources: BenchResources,
  pack: Pack,
): Promise<BlobStore> {
  const store = openStore(
    `s3://${BUCKET}?endpoint=${engine.endpoint}&region=${engine.region}`,
    engine,
  );
  await createBucket(engine);
  const { readable } = await Deno.open(pack.path);
  const key = `mpacks/${resources.repoId}/${pack.mpackKey}`;
  await store.put(key, readable, { sizeBytes: pack.sizeBytes });
  return store;
}

async function createBucket(engine: S3Engine): Promise<void> {
  const { S3Client } = await import("@bradenmacdonald/s3-lite-client");
  const { endpoint, region, accessKeyId, secretAccessKey } = engine;
  await new S3Client({
    endPoint: endpoint,
    region,
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
  }).makeBucket(BUCKET);
}
