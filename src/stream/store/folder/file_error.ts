/**
 * What the file system's refusals mean to a caller of a store.
 *
 * @module
 */
import { StoreError } from "../../../errors.ts";

const NOT_THERE = new Set(["ENOENT", "ENOTDIR", "EISDIR"]);

/** What the operator has to know, by the code the system call gave. */
const ADVICE: Record<string, string> = {
  ENOENT: "the folder is gone",
  EACCES: "permission denied; check the folder's owner and mode",
  EPERM: "the operation is not permitted; check the folder's owner, mode and attributes",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left on the file system",
  EDQUOT: "the disk quota is used up",
  EMFILE: "this process has too many files open",
  ENFILE: "the system has too many files open",
  EISDIR: "a folder lies where the blob should go",
  ENOTEMPTY: "a folder lies where the blob should go",
  EEXIST: "a folder lies where the blob should go",
  ENOTDIR: "a blob lies where a folder of the key should go",
};

/** Waiting cures a full disk or table of files, never a wrong mode. */
const PASSING = new Set([
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
 * The typed error for what the file system threw while doing `action` ("read", "write" …) to `key`.
 *
 * @param error What was thrown; anything but a file system's error is handed back as it is.
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
  if (action !== "write" && NOT_THERE.has(code)) {
    return new StoreError("blob-missing", `${what}: there is no such blob`, { cause: error });
  }
  return new StoreError("store-unavailable", `${what}: ${ADVICE[code] ?? code} (${code})`, {
    cause: error,
    retryable: PASSING.has(code),
  });
}

/** The system call's code, such as ENOSPC, where `error` has one. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  const { code } = error;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}
