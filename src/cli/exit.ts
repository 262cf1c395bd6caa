/**
 * How a command ends: its exit code, and what it says when it failed.
 *
 * @module
 */

import {
  CancelledError,
  ConfigError,
  DatabaseError,
  GhostError,
  LeaseLostError,
  MpackdError,
  StoreError,
} from "../errors.ts";
import { describe } from "../jobs/attempt/run_attempt.ts";
import { codeOf } from "../stream/store/folder/file_error.ts";

/** The exit codes, as `--help` lists them. */
export const EXIT = {
  /** Done. */
  ok: 0,
  /** A defect of mpackd itself. */
  internal: 1,
  /** Usage or configuration. */
  usage: 2,
  /** The pack was rejected, or the object cannot be had: permanent. */
  rejected: 3,
  /** A service is unavailable: trying again may help. */
  unavailable: 4,
  /** Interrupted; nothing is visible, the job is released. */
  interrupted: 130,
} as const;

/** The text of the exit codes for `--help`. */
export const EXIT_HELP = `
Exit codes:
  0    done
  1    a defect of mpackd itself (code "internal")
  2    usage or configuration
  3    the pack was rejected, or the object cannot be had (permanent)
  4    a service is unavailable, or the blob is not there (yet): retrying may help
  130  interrupted or cancelled; nothing is visible`;

/** Waiting, or making room, cures these. */
const PASSING = new Set(["ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "EBUSY"]);

/**
 * The typed error for what the runtime threw on a file, a pipe or a permission of the caller's; what
 * is none of these is handed back as it is.
 */
export function typedError(error: unknown): unknown {
  const { BrokenPipe, NotCapable } = Deno.errors, options = { cause: error };
  if (error instanceof NotCapable) {
    return new ConfigError(`Cannot go on: ${error.message}`, options);
  }
  if (error instanceof BrokenPipe) {
    return new CancelledError("Cannot go on: whoever reads the output has closed it", options);
  }
  const isOfFile = error instanceof Error && / \(os error \d+\)/.test(error.message);
  const code = isOfFile ? codeOf(error) : undefined;
  if (code === undefined) return error;
  const message = `Cannot go on: ${(error as Error).message}`;
  return PASSING.has(code)
    ? new StoreError("store-unavailable", message, options)
    : new ConfigError(message, options);
}

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.usage;
  if (error instanceof CancelledError) return EXIT.interrupted;
  if (
    error instanceof StoreError || error instanceof DatabaseError || error instanceof LeaseLostError
  ) return EXIT.unavailable;
  return error instanceof MpackdError ? EXIT.rejected : EXIT.internal;
}

/** Says what went wrong: one JSON document on stdout, or text on stderr. */
export function printError(thrown: unknown, options: { json: boolean }): void {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const record = describe(error);
  const ghosts = error instanceof GhostError
    ? { missing: error.missing, missing_count: error.missingCount }
    : {};
  if (options.json) console.log(JSON.stringify({ error: { ...record, ...ghosts } }));
  console.error(`${record.message} (${record.code})`);
  if (record.code === "internal") console.error(error.stack);
}
