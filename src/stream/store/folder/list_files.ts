/**
 * Lists a folder store in key order.
 *
 * @module
 */
import { join } from "node:path";
import { TEMP_FOLDER } from "../blob_key.ts";
import type { BlobEntry } from "../blob_store.ts";
import { codeOf, fileStoreError } from "./file_error.ts";

/**
 * Walks the tree depth first, so memory holds only the names in the folders on the way down. Skips
 * symbolic links, and files that are deleted meanwhile.
 */
export async function* listFiles(
  folder: string,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<BlobEntry, void, undefined> {
  // The walk begins at the prefix's folder, so `..` in it would leave the store.
  const parent = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  const segments = parent.split("/").slice(0, -1);
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return;
  }
  if (prefix.includes("\0") || segments[0] === TEMP_FOLDER) return;
  try {
    yield* walk(folder, parent, prefix, signal);
  } catch (error) {
    throw fileStoreError(error, { action: "list", key: prefix, folder });
  }
}

/** Lists the folder `parent`, which is "" or ends in a slash. */
async function* walk(
  folder: string,
  parent: string,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<BlobEntry, void, undefined> {
  for (const key of await keysIn(folder, parent, prefix)) {
    signal?.throwIfAborted();
    if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue;
    if (key.endsWith("/")) {
      yield* walk(folder, key, prefix, signal);
      continue;
    }
    const info = await unlessDeleted(Deno.stat(join(folder, key)));
    if (info?.isFile && key.startsWith(prefix)) {
      yield { key, sizeBytes: info.size, modifiedAt: info.mtime ?? new Date(0) };
    }
  }
}

/** Returns the sorted keys in one folder. A sub-folder ends in a slash, so `a-b` precedes `a/b`. */
async function keysIn(folder: string, parent: string, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  try {
    for await (const entry of Deno.readDir(join(folder, parent))) {
      if (parent === "" && entry.name === TEMP_FOLDER) continue;
      if (entry.isDirectory) keys.push(`${parent}${entry.name}/`);
      else if (entry.isFile) keys.push(parent + entry.name);
    }
  } catch (error) {
    if (!isDeleted(error) && !isForeign(error, parent, prefix)) throw error;
  }
  return keys.sort(byCodePoint);
}

/** Compares by UTF-8 bytes, as S3 does. JavaScript's own order differs above U+FFFF. */
function byCodePoint(left: string, right: string): number {
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  // If the second halves of surrogate pairs differ, compare the whole pairs.
  if (at > 0 && (left.charCodeAt(at) & 0xfc00) === 0xdc00) at--;
  return (left.codePointAt(at) ?? -1) - (right.codePointAt(at) ?? -1);
}

async function unlessDeleted<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isDeleted(error)) return undefined;
    throw error;
  }
}

/**
 * Whether a folder at the store's root may not be read, and was not asked for: `lost+found`, or what
 * other programs keep there.
 */
function isForeign(error: unknown, parent: string, prefix: string): boolean {
  const isAtRoot = parent.indexOf("/") === parent.length - 1;
  const isDenied = codeOf(error) === "EACCES" || codeOf(error) === "EPERM";
  return isDenied && isAtRoot && parent !== "" && !prefix.startsWith(parent);
}

function isDeleted(error: unknown): boolean {
  return codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";
}
