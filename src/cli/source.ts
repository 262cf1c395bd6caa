/**
 * What `index` is pointed at: a key in the store, or bytes that still have to get there.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { ConfigError, StoreError } from "../errors.ts";
import { trimHeap } from "../lib/heap.ts";
import { isMpackKey, withPrefix } from "../lib/ids.ts";
import { BUFFER_BYTES, openSha256 } from "../hash/sha256.ts";
import type { BlobReader, BlobStat, BlobStore } from "../stream/store/blob_store.ts";
import { openFileStore } from "../stream/store/folder/folder_store.ts";
import type { LiveLine } from "./terminal.ts";
import { openUrl } from "./resources.ts";

/** A pack to be indexed. */
export interface Source extends AsyncDisposable {
  /** `sha256:` and the hex digest of its bytes (of a key: as given). */
  readonly mpackKey: string;
  /** Length in bytes; 0 for a key. */
  readonly sizeBytes: number;
  /** Reads the bytes from the start; undefined for a key, whose bytes are in the store. */
  readonly body: (() => Promise<BlobReader>) | undefined;
}

/** What reading a source may need. */
export interface SourceOptions {
  /** Ends the reading. */
  readonly signal: AbortSignal;
  /** Where to show how far it is. */
  readonly line: LiveLine;
}

/**
 * Finds out what `text` names; a file or a foreign blob is read once, for its key.
 *
 * @throws {ConfigError} If it is none of the three, or the file cannot be read.
 */
export async function openSource(
  text: string,
  config: Config,
  options: SourceOptions,
): Promise<Source> {
  if (isMpackKey(text)) return { mpackKey: text, sizeBytes: 0, body: undefined, ...NOTHING };
  if (/^sha256:/.test(text)) {
    throw new ConfigError(`Cannot index "${text}": a key is sha256: and 64 lower-case hex digits`);
  }
  const open = await openerOf(text, config);
  const { mpackKey, stat } = await keyOf(open, options);
  // Pinned: a file that changes between the two readings is noticed, not half uploaded.
  return { mpackKey, sizeBytes: stat.sizeBytes, body: () => open(stat.etag), ...NOTHING };
}

const COLLECT_EVERY_BYTES = 16 * 1024 * 1024;
const NOTHING = { [Symbol.asyncDispose]: () => Promise.resolve() };

/** Opens a source from its start, in the version named. */
export type Open = (etag?: string) => Promise<BlobReader>;

/**
 * How to read a file, or a blob named by `s3://bucket/key`.
 *
 * @throws {ConfigError} If it is neither.
 */
export async function openerOf(text: string, config: Config): Promise<Open> {
  return /^s3:\/\//.test(text) ? await foreignBlob(text, config) : await localFile(text, config);
}

async function localFile(path: string, { storeIdleMs }: Config): Promise<Open> {
  let absolute: string;
  try {
    absolute = await Deno.realPath(path);
    if (!(await Deno.stat(absolute)).isFile) throw new Error("it is not a file");
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file (a key would be sha256: and 64 hex digits)"
      : (error as Error).message;
    throw new ConfigError(`Cannot read "${path}": ${why}`, { cause: error });
  }
  const slash = absolute.lastIndexOf("/");
  const folder = openFileStore(absolute.slice(0, slash) || "/", {
    idleTimeoutMs: storeIdleMs,
  });
  return (etag) => folder.open(absolute.slice(slash + 1), { etag });
}

async function foreignBlob(text: string, config: Config): Promise<Open> {
  const url = new URL(text), key = decodeURIComponent(url.pathname.slice(1));
  if (key === "") throw new ConfigError(`Cannot read "${text}": it names no key in the bucket`);
  // The place of our own store, another bucket: the endpoint, region and style are the same.
  const place = config.storeUrl?.startsWith("s3://") ? new URL(config.storeUrl).search : "";
  const search = url.search || place;
  const store = await openUrl(`s3://${url.host}${search}`, config);
  return (etag) => store.open(key, { etag });
}

async function keyOf(
  open: Open,
  { signal, line }: SourceOptions,
): Promise<{ mpackKey: string; stat: BlobStat }> {
  await using reader = await open();
  const { sizeBytes } = reader.stat;
  // Naming a file needs no state to be saved, so the fastest engine does it.
  using hasher = await openSha256({ engine: "native", worker: false });
  let bytes = 0;
  for (;;) {
    signal.throwIfAborted();
    const buffer = await hasher.borrow();
    const read = await reader.read(buffer);
    if (read === 0) break;
    hasher.update(buffer, read);
    line.show({ label: "hash", bytes: bytes += read, sizeBytes });
  }
  return { mpackKey: withPrefix(await hasher.digest()), stat: reader.stat };
}

/** Writes a source's bytes under `key`. */
export async function uploadSource(
  source: Source,
  store: BlobStore,
  key: string,
  { signal, line }: SourceOptions,
): Promise<void> {
  if (source.body === undefined) throw new StoreError("blob-missing", `Cannot upload ${key}`);
  await using reader = await source.body();
  const { sizeBytes } = source;
  async function* body() {
    // One buffer for all of it: a store is done with a chunk when it asks for the next one.
    const buffer = new Uint8Array(BUFFER_BYTES);
    for (let bytes = 0;;) {
      const read = await reader.read(buffer);
      if (read === 0) return;
      line.show({ label: "upload", bytes: bytes += read, sizeBytes });
      yield buffer.subarray(0, read);
      // fetch copies each part it sends, and V8 would let 100 MB of copies lie about.
      if (bytes % COLLECT_EVERY_BYTES < read) trimHeap();
    }
  }
  await store.put(key, body(), { sizeBytes, signal });
}
