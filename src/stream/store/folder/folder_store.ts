/**
 * Blobs as files of one folder: the store that needs nothing installed.
 *
 * @module
 */
import { isAbsolute, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { isBlobMissing, StoreError } from "../../../errors.ts";
import { checkKey, TEMP_FOLDER } from "../blob_key.ts";
import type { BlobEntry, BlobReader, BlobStat, BlobStore } from "../blob_store.ts";
import type { OpenOptions, PutOptions } from "../blob_store.ts";
import { DEFAULT_TIMEOUTS, withStoreTimeouts } from "../timeouts.ts";
import { fileStoreError } from "./file_error.ts";
import { openFileReader, openSharedReader, statOf } from "./file_reader.ts";
import { OpenFiles } from "./open_files.ts";
import { listFiles } from "./list_files.ts";
import { removeTempFiles, sweepTempFiles, writeFile } from "./write_file.ts";

/** Longer reads gain nothing from a file that is open already. */
const SHARED_BYTES = 1024 * 1024;

/** How long to wait for a disk, and how long to keep its files open. */
export interface FileStoreOptions {
  /** The longest silence of the disk, in milliseconds. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /**
   * How long a file that objects are read from may stay open, and its version be taken for the
   * current one, in milliseconds. Default 0: each read opens it.
   */
  readonly keepOpenMs?: number;
}

/**
 * Opens a store whose blob `a/b` is the file `a/b` under `folder`. The first `put` makes the folder.
 *
 * @param folder A path; a relative one is resolved against the current folder now, not later.
 */
export function openFileStore(
  folder: string,
  { idleTimeoutMs = DEFAULT_TIMEOUTS.idleTimeoutMs, keepOpenMs = 0 }: FileStoreOptions = {},
): BlobStore {
  const store = new FileStore(isAbsolute(folder) ? folder : resolve(folder), keepOpenMs);
  return withStoreTimeouts(store, idleTimeoutMs);
}

class FileStore implements BlobStore {
  readonly url: string;
  readonly provesDigests = true;
  readonly #folder: string;
  #swept?: Promise<void>;
  readonly #files: OpenFiles | undefined;

  constructor(folder: string, keepOpenMs: number) {
    if (keepOpenMs > 0) this.#files = new OpenFiles(keepOpenMs);
    this.#folder = folder;
    this.url = pathToFileURL(folder).href;
  }

  async stat(key: string, options: { signal?: AbortSignal } = {}): Promise<BlobStat> {
    const path = this.#pathOf(key);
    options.signal?.throwIfAborted();
    try {
      const info = await Deno.stat(path);
      if (info.isFile) return statOf(info);
    } catch (error) {
      throw fileStoreError(error, { action: "look up", key, folder: this.#folder });
    }
    throw new StoreError(
      "blob-missing",
      `Cannot look up ${JSON.stringify(key)} in ${this.#folder}: there is no such blob`,
    );
  }

  async open(key: string, options: OpenOptions = {}): Promise<BlobReader> {
    const path = this.#pathOf(key), about = { key, folder: this.#folder };
    // The digest of an object decides whether it is right. A whole pack has to be the newest one.
    const isShared = options.etag !== undefined &&
      (options.lengthBytes ?? Infinity) <= SHARED_BYTES;
    return this.#files && isShared
      ? await openSharedReader(this.#files, path, about, options)
      : await openFileReader(path, about, options);
  }

  async put(
    key: string,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BlobStat> {
    checkKey(key);
    return await this.#write(key, body, options);
  }

  async putUnnamed(
    keyOf: () => string,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BlobStat> {
    return await this.#write(keyOf, body, options);
  }

  async delete(key: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    const path = this.#pathOf(key);
    options.signal?.throwIfAborted();
    try {
      // `remove` would delete an empty folder, too.
      if ((await Deno.lstat(path)).isDirectory) return;
      await Deno.remove(path);
      this.#files?.drop(path);
    } catch (error) {
      const reason = fileStoreError(error, { action: "delete", key, folder: this.#folder });
      if (!isBlobMissing(reason)) throw reason;
    }
  }

  list(prefix: string, options: { signal?: AbortSignal } = {}): AsyncIterable<BlobEntry> {
    return listFiles(this.#folder, prefix, options.signal);
  }

  async sweep(options: { before: Date; isDryRun?: boolean }): Promise<number> {
    try {
      return await removeTempFiles(this.#folder, options);
    } catch (error) {
      throw fileStoreError(error, { action: "sweep", key: TEMP_FOLDER, folder: this.#folder });
    }
  }

  presignPut(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async #write(
    name: string | (() => string),
    body: AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<BlobStat> {
    await (this.#swept ??= sweepTempFiles(this.#folder));
    let key = typeof name === "string" ? name : undefined;
    const named = typeof name === "string" ? name : () => key = name();
    const stat = await writeFile(this.#folder, named, body, options);
    this.#files?.drop(this.#pathOf(key!));
    return stat;
  }

  #pathOf(key: string): string {
    return join(this.#folder, checkKey(key));
  }
}
