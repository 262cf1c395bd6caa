/**
 * Opens a folder as a store. Apart from `open_store.ts`, because loading the S3 store takes longer
 * than loading everything else here.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../errors.ts";
import type { BlobStore } from "./blob_store.ts";
import { type FileStoreOptions, openFileStore } from "./folder/folder_store.ts";

/**
 * Opens `file:///folder` or a folder's path. Returns undefined if `urlText` is another URL.
 *
 * @throws {ConfigError} If it is a file URL, but not of a folder on this machine.
 */
export function openFolder(
  urlText: string,
  options: FileStoreOptions = {},
): BlobStore | undefined {
  if (/^file:/i.test(urlText)) return openFileStore(folderOf(urlText), options);
  const isPath = urlText !== "" && !urlText.includes("\0") &&
    !/^[a-z][a-z0-9+.-]*:\/\//i.test(urlText);
  return isPath ? openFileStore(urlText, options) : undefined;
}

function folderOf(urlText: string): string {
  try {
    const url = new URL(urlText);
    if (!/^file:\/\/(localhost)?\//i.test(urlText)) throw new TypeError("it has no absolute path");
    if (url.search !== "" || url.hash !== "") throw new TypeError("it has a query or a fragment");
    return fileURLToPath(url);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`Cannot open the store ${JSON.stringify(urlText)}: ${reason}`, {
      cause: error,
    });
  }
}
