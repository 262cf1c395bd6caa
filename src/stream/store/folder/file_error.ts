/**
 * What errors of the file system mean to the caller of a store.
 *
 * @module
 */
import { StoreError } from "../../../errors.ts";

const MISSING_CODES = new Set(["ENOENT", "ENOTDIR", "EISDIR"]);

/** What the operator can do, by the code of the system call. */
const ADVICE: Record<string, string> = {
  ENOENT: "the folder is gone",
  EACCES: "permission denied; check the folder's owner and mode",
  EPERM: "the operation is not permitted; check the folder's owner, mode and attributes",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left on the file system",
  EDQUOT: "the disk quota is used up",
  EMFILE: "this process has too many files open",
  ENFILE: "the system has too many files open",
  EISDIR: "a folder has the blob's name",
  ENOTEMPTY: "a folder has the blob's name",
  EEXIST: "a folder has the blob's name",
  ENOTDIR: "a file, or another blob, has the name of a folder in its path",
};

/** These can pass: a full disk may be emptied. A wrong mode stays wrong. */
const TRANSIENT_CODES = new Set([
  "ENOSPC",
  "EDQUOT",
  "EMFILE",
  "ENFILE",
  "EIO",
  "EAGAIN",
  "EINTR",
  "EBUSY",
]);

/**
 * Returns the typed error for what the file system threw during `action` ("read", "write" …).
 * Returns `error` itself if it is not an error of the file system.
 */
export function fileStoreError(
  error: unknown,
  about: { action: string; key: string; folder: string },
): unknown {
  const { action, key, folder } = about;
  const what = `Cannot ${action} ${JSON.stringify(key)} in ${folder}`;
  if (error instanceof Deno.errors.NotCapable) {
    return new StoreError("store-unavailable", `${what}: ${error.message}`, {
      cause: error,
      retryable: false,
    });
  }
  const code = codeOf(error);
  if (code === undefined) return error;
  if (action !== "write" && MISSING_CODES.has(code)) {
    return new StoreError("blob-missing", `${what}: there is no such blob`, { cause: error });
  }
  return new StoreError("store-unavailable", `${what}: ${ADVICE[code] ?? code} (${code})`, {
    cause: error,
    retryable: TRANSIENT_CODES.has(code),
  });
}

/** Returns the code of a system call's error, such as ENOSPC; undefined for other errors. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  const { code } = error;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}
