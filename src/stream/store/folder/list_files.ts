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
 * Walks the tree depth first, so that only the names of the folders on the way down are held.
 * Symbolic links are passed over, and so are files that vanish meanwhile.
 */
export async function* listFiles(
  folder: string,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<BlobEntry, void, undefined> {
  // Whole segments of the prefix are walked straight to; `..` there would leave the folder.
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
  for (const key of await keysIn(folder, parent)) {
    signal?.throwIfAborted();
    if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue;
    if (key.endsWith("/")) {
      yield* walk(folder, key, prefix, signal);
      continue;
    }
    const info = await orVanished(Deno.stat(join(folder, key)));
    if (info?.isFile && key.startsWith(prefix)) {
      yield { key, sizeBytes: info.size, modifiedAt: info.mtime ?? new Date(0) };
    }
  }
}

/** The keys in one folder, sub-folders with a slash behind: so that `a-b` sorts before `a/b`. */
async function keysIn(folder: string, parent: string): Promise<string[]> {
  const keys: string[] = [];
  try {
    for await (const entry of Deno.readDir(join(folder, parent))) {
      if (parent === "" && entry.name === TEMP_FOLDER) continue;
      if (entry.isDirectory) keys.push(`${parent}${entry.name}/`);
      else if (entry.isFile) keys.push(parent + entry.name);
    }
  } catch (error) {
    if (!isVanished(error)) throw error;
  }
  return keys.sort(byCodePoint);
}

/** S3's order is that of the UTF-8 bytes; JavaScript's own differs beyond U+FFFF. */
function byCodePoint(left: string, right: string): number {
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  // Both halves of a pair may differ from here on; the first halves then were equal.
  if (at > 0 && (left.charCodeAt(at) & 0xfc00) === 0xdc00) at--;
  return (left.codePointAt(at) ?? -1) - (right.codePointAt(at) ?? -1);
}

async function orVanished<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isVanished(error)) return undefined;
    throw error;
  }
}

function isVanished(error: unknown): boolean {
  return codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";
}
