/**
 * The mpack that a user names: a key in the store, a file, a pipe, or a blob of another bucket.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { ConfigError, InvalidMpackError, StoreError } from "../errors.ts";
import { BUFFER_BYTES, openSha256 } from "../hash/sha256.ts";
import { orAborted } from "../lib/abort.ts";
import { trimHeap } from "../lib/heap.ts";
import { isMpackKey, withPrefix } from "../lib/ids.ts";
import type { BlobReader, BlobStat, BlobStore } from "../stream/store/blob_store.ts";
import type { OpenOptions } from "../stream/store/blob_store.ts";
import { openFileStore } from "../stream/store/folder/folder_store.ts";
import { statIfPresent } from "../stream/store/stat_if_present.ts";
import { openInput } from "./input.ts";
import { isShortKey } from "./named_ids.ts";
import { openUrl } from "./resources.ts";
import type { LiveLine } from "./terminal.ts";

const COLLECT_EVERY_BYTES = 16 * 1024 * 1024;

/** An mpack to be indexed. */
export interface Source extends AsyncDisposable {
  /** `sha256:` and the hex digest of the bytes. A key is taken as given. */
  readonly mpackKey: string;
  /** Length in bytes; 0 for a key. */
  readonly sizeBytes: number;
  /** Reads the bytes, or a range of them. Undefined for a key: its bytes are in the store. */
  readonly body: ((range?: Range) => Promise<BlobReader>) | undefined;
}

/** Some of the bytes of a source. */
type Range = Pick<OpenOptions, "offsetBytes" | "lengthBytes">;

/** How to read a source. */
export interface SourceOptions {
  readonly signal: AbortSignal;
  /** Shows the progress. */
  readonly line: LiveLine;
}

/**
 * Opens the source that `text` names. A file or foreign blob is read once to compute its key. A pipe
 * is copied to a temporary file, because it can be read only once.
 *
 * @throws {ConfigError} If `text` names nothing that can be read.
 */
export async function openSource(
  text: string,
  config: Config,
  options: SourceOptions,
): Promise<Source> {
  if (isKey(text)) return { mpackKey: text, sizeBytes: 0, body: undefined, ...NOTHING_TO_CLOSE };
  if (await isPipe(text)) return await copyPipe(text, config, options);
  return await sourceOf(await openerOf(text, config), options);
}

/**
 * Opens an mpack for one reading from start to end. A pipe is read as it comes.
 *
 * @throws {ConfigError} If `text` names nothing that can be read.
 */
export async function openOnce(
  text: string,
  config: Config,
  { signal }: { readonly signal: AbortSignal },
): Promise<BlobReader> {
  if (await isPipe(text)) return await pipeReader(text, signal);
  return await (await openerOf(text, config))();
}

const NOTHING_TO_CLOSE = { [Symbol.asyncDispose]: () => Promise.resolve() };

/**
 * Whether `text` is an mpack key.
 *
 * @throws {ConfigError} If it begins like a key and is none.
 */
export function isKey(text: string): boolean {
  if (isMpackKey(text)) return true;
  if (!text.startsWith("sha256:")) return false;
  throw new ConfigError(
    `Cannot read "${text}": a key is sha256: and 64 lower-case hex digits, or the first of them, ` +
      "four or more",
  );
}

/** Opens a source in the version of `etag`. */
type Open = (etag?: string, range?: Range) => Promise<BlobReader>;

async function sourceOf(open: Open, options: SourceOptions): Promise<Source> {
  const { mpackKey, stat } = await keyOf(open, options);
  // The version is pinned: a file that changes before its upload is noticed.
  const body = (range?: Range) => open(stat.etag, range);
  return { mpackKey, sizeBytes: stat.sizeBytes, body, ...NOTHING_TO_CLOSE };
}

async function openerOf(text: string, config: Config): Promise<Open> {
  return text.startsWith("s3://") ? await foreignBlob(text, config) : await localFile(text, config);
}

/**
 * Checks that what looks like a file is there, before a database is started or a repo created.
 *
 * @throws {ConfigError} If one is not.
 */
export async function requireSources(texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    const isFile = text !== "-" && !text.startsWith("s3://") && !await isShortKey(text);
    if (!isFile || isKey(text)) continue;
    const { isDirectory } = await Deno.stat(text).catch((error) => {
      throw unreadable(text, error);
    });
    if (isDirectory) throw unreadable(text, new Error("it is a folder"));
  }
}

function unreadable(path: string, cause: unknown): ConfigError {
  const why = cause instanceof Deno.errors.NotFound
    ? "there is no such file (a key is sha256: and 64 hex digits)"
    : (cause as Error).message;
  return new ConfigError(`Cannot read "${path}": ${why}`, { cause });
}

async function localFile(path: string, { storeIdleMs }: Config): Promise<Open> {
  let absolute: string;
  try {
    absolute = await Deno.realPath(path);
    if (!(await Deno.stat(absolute)).isFile) throw new Error("it is not a file");
  } catch (error) {
    throw unreadable(path, error);
  }
  const slash = absolute.lastIndexOf("/");
  const folder = openFileStore(absolute.slice(0, slash) || "/", { idleTimeoutMs: storeIdleMs });
  return (etag, range) => folder.open(absolute.slice(slash + 1), { etag, ...range });
}

async function foreignBlob(text: string, config: Config): Promise<Open> {
  const url = new URL(text), key = decodeURIComponent(url.pathname.slice(1));
  if (key === "") throw new ConfigError(`Cannot read "${text}": it names no key in the bucket`);
  // Without options of its own, the URL means another bucket at the endpoint of our store.
  const ours = config.storeUrl?.startsWith("s3://") ? new URL(config.storeUrl).search : "";
  const store = await openUrl(`s3://${url.host}${url.search || ours}`, config);
  return (etag, range) => store.open(key, { etag, ...range });
}

async function isPipe(path: string): Promise<boolean> {
  if (path === "-") return true;
  if (path.startsWith("s3://")) return false;
  try {
    const { isFifo, isSocket, isCharDevice } = await Deno.stat(path);
    return Boolean(isFifo || isSocket || isCharDevice);
  } catch {
    // Opening the path says what is wrong with it.
    return false;
  }
}

async function pipeReader(path: string, signal: AbortSignal): Promise<BlobReader> {
  const input = await openInput(path);
  const close = () => Promise.resolve(input.close());
  return {
    // The length of a pipe is not known, and it has no version.
    stat: { sizeBytes: 0, etag: "" },
    async read(into) {
      let filledBytes = 0;
      while (filledBytes < into.length) {
        const bytes = await orAborted(input.read(into.subarray(filledBytes)), signal);
        if (bytes === null) break;
        filledBytes += bytes;
      }
      return filledBytes;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function copyPipe(text: string, config: Config, options: SourceOptions): Promise<Source> {
  const path = await Deno.makeTempFile({ prefix: "mpackd-" });
  const remove = () => Deno.remove(path);
  try {
    await using reader = await pipeReader(text, options.signal);
    await copy(reader, path, options.line);
    const source = await sourceOf(await localFile(path, config), options);
    return { ...source, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function copy(reader: BlobReader, path: string, line: LiveLine): Promise<void> {
  using file = await Deno.open(path, { write: true });
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (let bytes = 0;;) {
    const read = await reader.read(buffer);
    if (read === 0) return;
    for (let at = 0; at < read;) at += await file.write(buffer.subarray(at, read));
    line.show({ label: "read", bytes: bytes += read, sizeBytes: 0 });
  }
}

async function keyOf(
  open: Open,
  { signal, line }: SourceOptions,
): Promise<{ mpackKey: string; stat: BlobStat }> {
  await using reader = await open();
  const { sizeBytes } = reader.stat;
  // This digest is never resumed, so the fastest engine computes it.
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

/** Where and how to store a source. */
export interface PutSourceOptions extends SourceOptions {
  readonly store: BlobStore;
  /** The key of its blob. */
  readonly blobKey: string;
  /** The mpack key that the source must have, if any. */
  readonly expect?: string;
  /** Whether to write the blob even if the store has one of this size. */
  readonly upload?: boolean;
}

/**
 * Stores the bytes of a source, unless the store has them.
 *
 * @returns Whether it wrote them.
 * @throws {InvalidMpackError} If `expect` names another key.
 */
export async function putSource(source: Source, options: PutSourceOptions): Promise<boolean> {
  const { store, blobKey, expect, upload, signal } = options;
  if (expect !== undefined && source.mpackKey !== expect) {
    throw new InvalidMpackError(
      "digest-mismatch",
      `Cannot accept the source: its key is ${source.mpackKey}, expected ${expect}`,
    );
  }
  if (source.body === undefined) return false;
  const stored = upload ? undefined : await statIfPresent(store, blobKey, { signal });
  if (stored?.sizeBytes === source.sizeBytes) return false;
  await uploadSource(source, options);
  return true;
}

/** Writes the bytes of a source under `blobKey`. */
export async function uploadSource(
  source: Source,
  { store, blobKey, signal, line }: PutSourceOptions,
): Promise<void> {
  if (source.body === undefined) throw new StoreError("blob-missing", `Cannot upload ${blobKey}`);
  await using reader = await source.body();
  const { sizeBytes } = source;
  async function* body() {
    // One buffer for all chunks: the store has taken a chunk when it asks for the next one.
    const buffer = new Uint8Array(BUFFER_BYTES);
    for (let bytes = 0;;) {
      const read = await reader.read(buffer);
      if (read === 0) return;
      line.show({ label: "upload", bytes: bytes += read, sizeBytes });
      yield buffer.subarray(0, read);
      // fetch copies each chunk, and V8 would let 100 MB of copies accumulate.
      if (bytes % COLLECT_EVERY_BYTES < read) trimHeap();
    }
  }
  await store.put(blobKey, body(), { sizeBytes, signal });
}
