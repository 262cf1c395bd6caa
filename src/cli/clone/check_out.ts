/**
 * Writes the files of a commit into a folder.
 *
 * @module
 */

import { trimEndOf } from "../../lib/text/trim.ts";
import { dirname, join } from "node:path";
import { HistoryError } from "../../errors.ts";
import { readLocated } from "../../objects/read_object.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { CommitFiles } from "./read_pack.ts";

/** Where a clone keeps its history. */
export const HISTORY_FOLDER = ".mpackd";
/** The history in it, as a pack. */
export const HISTORY_FILE = "history.mpack";

/**
 * Refuses a path that would leave the folder, or write where the history is.
 *
 * @throws {HistoryError} `record-mismatch`.
 * @internal Exported for tests.
 */
export function checkPath(path: string): void {
  const parts = path.split(/[/\\]/), shown = JSON.stringify(path.slice(0, 300));
  const refuse = (why: string) => {
    throw new HistoryError("record-mismatch", `Cannot check out ${shown}: ${why}`);
  };
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    refuse("it is not a path inside the folder");
  }
  // A disk may ignore the case of letters, and Windows dots and spaces at the end.
  const first = trimEndOf(parts[0].toLowerCase(), ". ");
  if (first === HISTORY_FOLDER) refuse("the clone keeps its history there");
  // deno-lint-ignore no-control-regex -- Such a name cannot be written, or is written elsewhere.
  if (/\x00/.test(path) || (Deno.build.os === "windows" && /[:*?"<>|\x00-\x1f]/.test(path))) {
    refuse("this system cannot have such a name");
  }
}

/**
 * Writes all files, each one checked against its id.
 *
 * @throws {HistoryError} Before the first file, if a path is refused.
 * @throws {ObjectError} `object-mismatch`.
 */
export async function checkOut(
  store: BlobStore,
  key: string,
  { entries, contents }: CommitFiles,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<void> {
  for (const [path] of entries) checkPath(path);
  const { etag } = await store.stat(key, { signal });
  const made = new Set<string>();
  for (const [path, objectId] of entries) {
    signal.throwIfAborted();
    const parent = dirname(path);
    if (!made.has(parent)) await Deno.mkdir(join(folder, parent), { recursive: true });
    made.add(parent);
    const { stream } = await readLocated(store, {
      objectId,
      ...contents.get(objectId)!,
      mpackKey: key,
      blobKey: key,
      etag,
      encoding: null,
      damagedAt: null,
    }, { signal });
    // A new file: two paths that the disk takes for one must not overwrite each other.
    await Deno.writeFile(join(folder, path), stream, { createNew: true, signal });
  }
}
