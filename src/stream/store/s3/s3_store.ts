/**
 * Blobs as objects of a bucket, on any engine with the S3 protocol.
 *
 * @module
 */
import { isBlobMissing } from "../../../errors.ts";
import { orAborted } from "../../../lib/abort.ts";
import { checkKey, TEMP_FOLDER } from "../blob_key.ts";
import type { BlobEntry, BlobReader, BlobStat, BlobStore } from "../blob_store.ts";
import type { OpenOptions, PartUploads, Presigned, PresignPutOptions } from "../blob_store.ts";
import type { PutOptions, SweepOptions } from "../blob_store.ts";
import { isDigest } from "../../../lib/ids.ts";
import { statIfPresent } from "../stat_if_present.ts";
import { S3Client, type S3ClientOptions } from "./client.ts";
import { checksDigests } from "./digest_support.ts";
import { listObjects } from "./list.ts";
import { deleteOldUnnamed } from "./copy.ts";
import { readObjectLock } from "../object_lock.ts";
import { OptionalHeaders } from "./optional_headers.ts";
import { putObject } from "./put.ts";
import { openS3Reader, type S3Target } from "./reader.ts";
import { statObject } from "./stat.ts";
import { abortOldUploads } from "./old_uploads.ts";
import { S3PartUploads } from "./part_uploads.ts";

const MAX_EXPIRES_SECONDS = 7 * 24 * 60 * 60;

/** Where the bucket is, the credentials for it, and how long to wait. */
export interface S3StoreOptions extends S3ClientOptions {
  /** The bucket's folder that is the store, without slashes at its ends. Default: the whole bucket. */
  readonly prefix?: string;
}

/** Opens a store whose blob `a/b` is the object `prefix/a/b`. Sends nothing until it is used. */
export function openS3Store(options: S3StoreOptions): BlobStore {
  return new S3Store(options);
}

class S3Store implements BlobStore {
  readonly url: string;
  readonly provesDigests = true;
  readonly partUploads: PartUploads;
  readonly #client: S3Client;
  /** "" or a folder with a slash at its end. */
  readonly #folder: string;
  readonly #optional = { conditions: new OptionalHeaders(), checksums: new OptionalHeaders() };
  #checksDigests: Promise<boolean> | undefined;

  constructor(options: S3StoreOptions) {
    const { bucket, prefix = "" } = options;
    this.#folder = prefix === "" ? "" : `${checkKey(prefix)}/`;
    this.url = prefix === "" ? `s3://${bucket}` : `s3://${bucket}/${prefix}`;
    this.#client = new S3Client(this.url, options);
    this.partUploads = new S3PartUploads(this.#client, (key) => this.#target(key));
  }

  async stat(key: string, options: { signal?: AbortSignal } = {}): Promise<BlobStat> {
    const { objectKey } = this.#target(key);
    const backoff = this.#client.backoff({ action: "look up", key }, options.signal);
    return await backoff.run(() => statObject(this.#client, objectKey, options.signal));
  }

  async open(key: string, options: OpenOptions = {}): Promise<BlobReader> {
    return await openS3Reader(this.#client, this.#target(key), options);
  }

  async put(
    key: string,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BlobStat> {
    const target = this.#target(key);
    const checksDigests = () => orAborted(this.#testOnce(), options.signal);
    const put = () =>
      putObject(this.#client, target, body, { ...options, ...this.#optional, checksDigests });
    if (!options.ifAbsent) return await put();
    const found = await statIfPresent(this, key, options);
    if (found !== undefined) return found;
    try {
      return await put();
    } catch (error) {
      // Written since, by another process or by a try of this one whose answer was lost.
      if (isBlobMissing(error) && error.status === 412) return await this.stat(key, options);
      throw error;
    }
  }

  async putUnnamed(
    keyOf: () => string,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BlobStat> {
    const name = `${TEMP_FOLDER}/${crypto.randomUUID()}`;
    const unnamed = { key: "a new blob", objectKey: `${this.#folder}${name}` };
    return await putObject(this.#client, unnamed, body, {
      ...options,
      ...this.#optional,
      checksDigests: () => Promise.resolve(false),
      nameAtEnd: () => this.#target(keyOf()),
    });
  }

  /** Tests the engine once, and again if it could not be reached. */
  #testOnce(): Promise<boolean> {
    this.#checksDigests ??= checksDigests(this.#client, this.#folder).catch((error) => {
      this.#checksDigests = undefined;
      throw error;
    });
    return this.#checksDigests;
  }

  async delete(key: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { objectKey } = this.#target(key);
    const backoff = this.#client.backoff({ action: "delete", key }, options.signal);
    try {
      const request = { method: "DELETE", objectKey, signal: options.signal } as const;
      await backoff.run(async () => (await this.#client.send(request)).discard());
    } catch (error) {
      if (!isBlobMissing(error)) throw error;
    }
  }

  async *list(
    prefix: string,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<BlobEntry, void, undefined> {
    const { signal } = options;
    for await (
      const entry of listObjects(this.#client, this.#folder + prefix, { key: prefix, signal })
    ) {
      const key = entry.key.slice(this.#folder.length);
      if (!key.startsWith(`${TEMP_FOLDER}/`)) yield { ...entry, key };
    }
  }

  async sweep(
    options: SweepOptions,
  ): Promise<number> {
    const aborted = await abortOldUploads(this.#client, this.#folder, options);
    return aborted +
      await deleteOldUnnamed(this.#client, `${this.#folder}${TEMP_FOLDER}/`, options);
  }

  lock(options: { signal?: AbortSignal } = {}): Promise<string | undefined> {
    return readObjectLock(this.#client, options.signal);
  }

  async presignPut(key: string, options: PresignPutOptions): Promise<Presigned> {
    const { expiresSeconds, sha256Hex } = options;
    const isInRange = expiresSeconds >= 1 && expiresSeconds <= MAX_EXPIRES_SECONDS;
    if (!Number.isInteger(expiresSeconds) || !isInRange) {
      throw new RangeError(
        `Cannot sign a URL for ${expiresSeconds} seconds: 1 to ${MAX_EXPIRES_SECONDS} are allowed`,
      );
    }
    const headers: Record<string, string> = {};
    if (sha256Hex !== undefined) {
      if (!isDigest(sha256Hex.toLowerCase())) {
        throw new RangeError("Cannot sign a URL: the SHA-256 does not have 64 hexadecimal digits");
      }
      headers["x-amz-checksum-sha256"] = Uint8Array.fromHex(sha256Hex).toBase64();
    }
    const { objectKey } = this.#target(key);
    const request = { method: "PUT", objectKey, headers, expiresSeconds } as const;
    const backoff = this.#client.backoff({ action: "sign a URL for", key });
    return await backoff.run(() => this.#client.presign(request));
  }

  #target(key: string): S3Target {
    const objectKey = this.#folder + checkKey(key);
    // Folder and key can be too long together.
    return { key, objectKey: checkKey(objectKey) };
  }
}
