/**
 * Writes one file of a folder store completely, or not at all.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { untilAborted } from "../../../lib/abort.ts";
import { checkKey, TEMP_FOLDER } from "../blob_key.ts";
import type { BlobStat, PutOptions } from "../blob_store.ts";
import { checkedBody } from "../checked_body.ts";
import { fileStoreError } from "./file_error.ts";
import { statOf } from "./file_reader.ts";

/** The writer of a half-written file older than this was killed. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

/** Like a blob's file, only for its owner: other users of the machine may not read mpacks. */
const NEW_FOLDER = { recursive: true, mode: 0o700 } as const;

/** What errors call a blob while its key is not known. */
const UNNAMED = "a new blob";

/**
 * Streams `body` into a temporary file on the same file system, syncs it, and renames it to its key.
 * Removes the temporary file if anything fails; {@link sweepTempFiles} removes those of killed
 * processes.
 *
 * @param name The key, or a function that tells it after the end of the body.
 */
export async function writeFile(
  folder: string,
  name: string | (() => string),
  body: AsyncIterable<Uint8Array>,
  options: PutOptions,
): Promise<BlobStat> {
  const { signal } = options;
  signal?.throwIfAborted();
  let key = typeof name === "string" ? name : UNNAMED;
  const asError = (error: unknown) => fileStoreError(error, { action: "write", key, folder });
  const tempPath = join(folder, TEMP_FOLDER, crypto.randomUUID());
  try {
    const written = await fill(tempPath, key, body, options, asError);
    if (typeof name === "function") key = checkKey(name());
    const path = join(folder, key);
    try {
      if (options.ifAbsent) {
        await inFolder(path, () => linkIfAbsent(tempPath, path));
        await syncFolder(dirname(path));
        return statOf(await Deno.stat(path));
      }
      const mtime = await stampNewer(tempPath, path, written.mtime);
      await inFolder(path, () => Deno.rename(tempPath, path));
      await syncFolder(dirname(path));
      return statOf({ size: written.size, mtime });
    } catch (error) {
      throw asError(error);
    }
  } catch (error) {
    await Deno.remove(tempPath).catch(() => {});
    throw error;
  }
}

async function fill(
  tempPath: string,
  key: string,
  body: AsyncIterable<Uint8Array>,
  options: PutOptions,
  asError: (error: unknown) => unknown,
): Promise<Deno.FileInfo> {
  const { signal } = options;
  let file: Deno.FsFile;
  try {
    const how = { write: true, createNew: true, mode: 0o600 };
    file = await inFolder(tempPath, () => Deno.open(tempPath, how));
  } catch (error) {
    throw asError(error);
  }
  try {
    for await (const chunk of untilAborted(checkedBody(key, body, options), signal)) {
      // Caught here and not around the loop: an error of the body is not the store's.
      try {
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      } catch (error) {
        throw asError(error);
      }
    }
    signal?.throwIfAborted();
    try {
      await file.sync();
      // The kernel has it in memory, and a thread that asks for it takes 0.1 ms to wake.
      return file.statSync();
    } catch (error) {
      throw asError(error);
    }
  } finally {
    file.close();
  }
}

/** Does what needs the folder of `path`; makes the folder if it is not there, which is rare. */
async function inFolder<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.mkdir(dirname(path), NEW_FOLDER);
    return await work();
  }
}

/**
 * Makes the new file's time later than the old one's. The kernel's clock ticks every few
 * milliseconds, so two versions of one length could have the same ETag otherwise.
 *
 * @returns The time that the new file has.
 */
async function stampNewer(tempPath: string, path: string, time: Date | null): Promise<Date | null> {
  const oldMs = (await Deno.stat(path).catch(() => undefined))?.mtime?.getTime();
  if (oldMs === undefined || time === null || time.getTime() > oldMs) return time;
  const bumped = new Date(oldMs + 1);
  await Deno.utime(tempPath, bumped, bumped);
  return bumped;
}

/** Gives the file its name unless there is one with this name, which a rename would replace. */
async function linkIfAbsent(tempPath: string, path: string): Promise<void> {
  try {
    await Deno.link(tempPath, path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    if (!(await Deno.stat(path)).isFile) throw error;
  }
  await Deno.remove(tempPath);
}

interface FolderSyncs {
  readonly running: Promise<void>;
  /** The one that begins after it. */
  next?: Promise<void>;
}

/** By folder. */
const syncs = new Map<string, FolderSyncs>();

/**
 * Makes a rename survive a power cut. Those who ask while a folder is being synced share the next sync:
 * 64 pushes at once would each wait for one of its own.
 */
function syncFolder(folder: string): Promise<void> {
  const before = syncs.get(folder);
  if (before === undefined) return beginSync(folder);
  // The one that is running may have begun before the rename.
  const begin = () => beginSync(folder);
  return before.next ??= before.running.then(begin, begin);
}

function beginSync(folder: string): Promise<void> {
  const running = syncNow(folder).finally(() => {
    if (begun.next === undefined) syncs.delete(folder);
  });
  const begun: FolderSyncs = { running };
  syncs.set(folder, begun);
  return running;
}

/** Some file systems cannot sync a folder. */
async function syncNow(folder: string): Promise<void> {
  const handle = await Deno.open(folder);
  try {
    await handle.sync().catch(() => {});
  } finally {
    handle.close();
  }
}

/** Removes the half-written files of processes that were killed a day ago or earlier. */
export async function sweepTempFiles(folder: string): Promise<void> {
  const before = new Date(Date.now() - ABANDONED_AFTER_MS);
  // A write can go on without it.
  await removeTempFiles(folder, { before }).catch(() => {});
}

/** Removes half-written files last modified before a time; returns how many there were. */
export async function removeTempFiles(
  folder: string,
  { before, isDryRun = false }: { readonly before: Date; readonly isDryRun?: boolean },
): Promise<number> {
  const tempFolder = join(folder, TEMP_FOLDER);
  let removed = 0;
  try {
    for await (const entry of Deno.readDir(tempFolder)) {
      const path = join(tempFolder, entry.name);
      const writtenAt = (await Deno.stat(path)).mtime ?? new Date(0);
      if (writtenAt >= before) continue;
      if (!isDryRun) await Deno.remove(path);
      removed++;
    }
  } catch (error) {
    // Nothing was written here yet, or another process removed the file first.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return removed;
}
