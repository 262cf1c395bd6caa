/**
 * Reads one file of a folder store.
 *
 * @module
 */
import { StoreError } from "../../../errors.ts";
import type { BlobReader, BlobStat, OpenOptions } from "../blob_store.ts";
import { checkRange } from "../byte_range.ts";
import { fileStoreError } from "./file_error.ts";
import type { OpenFiles, SharedFile } from "./open_files.ts";

/**
 * The ETag is the time of the last write, in milliseconds, and the length.
 *
 * It leaves out the inode: a folder that was copied with its times (`cp -a`, `rsync -a`, a restored
 * backup) keeps its ETags. The store's own `put` gives two versions of a blob two times.
 */
export function statOf(info: Pick<Deno.FileInfo, "mtime" | "size">): BlobStat {
  const writtenAtMs = info.mtime?.getTime() ?? 0;
  return { sizeBytes: info.size, etag: `"${writtenAtMs.toString(16)}-${info.size.toString(16)}"` };
}

/**
 * Opens `path`, which errors name as the blob `about.key`. The version is that of the open file: if
 * the blob is replaced afterwards, the reader still reads the old one.
 */
export async function openFileReader(
  path: string,
  about: { key: string; folder: string },
  options: OpenOptions,
): Promise<BlobReader> {
  const { etag, signal } = options;
  signal?.throwIfAborted();
  const asError = (error: unknown) => fileStoreError(error, { action: "read", ...about });
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    throw asError(error);
  }
  try {
    const info = await file.stat();
    const what = whatOf(about);
    if (!info.isFile) throw new StoreError("blob-missing", `${what}: there is no such blob`);
    const stat = statOf(info);
    if (etag !== undefined && etag !== stat.etag) {
      throw new StoreError(
        "blob-missing",
        `${what}: its version is ${stat.etag}, not ${etag} as asked for`,
        { status: 412, retryable: false },
      );
    }
    const { startBytes, endBytes } = checkRange(about.key, stat.sizeBytes, options);
    if (startBytes > 0) await file.seek(startBytes, Deno.SeekMode.Start);
    return new FileReader({ file, stat, startBytes, endBytes, what, asError, signal });
  } catch (error) {
    file.close();
    throw asError(error);
  }
}

/**
 * Opens a range of one version as {@link openFileReader} does, in a file that several readers share.
 */
export async function openSharedReader(
  files: OpenFiles,
  path: string,
  about: { key: string; folder: string },
  options: OpenOptions,
): Promise<BlobReader> {
  const { etag, signal } = options;
  signal?.throwIfAborted();
  const asError = (error: unknown) => fileStoreError(error, { action: "read", ...about });
  let file: SharedFile | undefined;
  try {
    const opened = await files.open(path);
    if (!opened.info.isFile || etag !== statOf(opened.info).etag) {
      // It may have been replaced since its version was looked at.
      files.drop(path);
      await opened[Symbol.asyncDispose]();
      return await openFileReader(path, about, options);
    }
    const what = whatOf(about), stat = statOf(opened.info);
    file = opened;
    const { startBytes, endBytes } = checkRange(about.key, stat.sizeBytes, options);
    let positionBytes = startBytes;
    return new FileReader({
      ...{ stat, startBytes, endBytes, what, asError, signal },
      file: {
        async read(into) {
          const bytes = await opened.read(into, positionBytes);
          positionBytes += bytes;
          return bytes === 0 ? null : bytes;
        },
        close: () => void Promise.resolve(opened[Symbol.asyncDispose]()).catch(() => {}),
      },
    });
  } catch (error) {
    await file?.[Symbol.asyncDispose]();
    throw asError(error);
  }
}

/** Begins the messages of errors. */
function whatOf({ key, folder }: { key: string; folder: string }): string {
  return `Cannot read ${JSON.stringify(key)} in ${folder}`;
}

interface FileReaderContext {
  file: { read(into: Uint8Array): Promise<number | null>; close(): void };
  stat: BlobStat;
  startBytes: number;
  endBytes: number;
  /** Begins the messages of errors. */
  what: string;
  asError: (error: unknown) => unknown;
  signal?: AbortSignal;
}

class FileReader implements BlobReader {
  readonly stat: BlobStat;
  readonly #context: FileReaderContext;
  #positionBytes: number;
  #isClosed = false;

  constructor(context: FileReaderContext) {
    this.stat = context.stat;
    this.#context = context;
    this.#positionBytes = context.startBytes;
  }

  async read(into: Uint8Array): Promise<number> {
    const { file, endBytes, what, asError, signal } = this.#context;
    const wantedBytes = Math.min(into.length, endBytes - this.#positionBytes);
    let filledBytes = 0;
    while (filledBytes < wantedBytes) {
      signal?.throwIfAborted();
      if (this.#isClosed) throw new TypeError(`${what}: the reader is closed`);
      let gotBytes: number | null;
      try {
        gotBytes = await file.read(into.subarray(filledBytes, wantedBytes));
      } catch (error) {
        throw asError(error);
      }
      if (gotBytes === null) {
        throw new StoreError(
          "store-unavailable",
          `${what}: it was cut to ${this.#positionBytes} bytes while being read, ` +
            `it had ${this.stat.sizeBytes}`,
        );
      }
      filledBytes += gotBytes;
      this.#positionBytes += gotBytes;
    }
    return filledBytes;
  }

  close(): Promise<void> {
    if (!this.#isClosed) this.#context.file.close();
    this.#isClosed = true;
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
