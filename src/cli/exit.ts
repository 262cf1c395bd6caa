/**
 * How a command ends: its exit code, and the error it prints.
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
  OutputError,
  QuotaError,
  ServerError,
  StoreError,
} from "../errors.ts";
import { describe } from "../jobs/attempt/error_record.ts";
import { codeOf } from "../stream/store/folder/file_error.ts";
import { redact } from "../lib/redact.ts";
import { printJson, tell } from "./output.ts";

/** The exit codes. */
export const EXIT = {
  ok: 0,
  internal: 1,
  usage: 2,
  rejected: 3,
  unavailable: 4,
  interrupted: 130,
} as const;

/** The exit codes for `--help`. */
export const EXIT_HELP = `
Exit codes:
  0    done
  1    a defect of mpackd itself (code "internal")
  2    usage or configuration
  3    the mpack was rejected, or the object cannot be read (permanent)
  4    a service is unavailable, the blob is missing, or the output cannot be written: retry later
  130  interrupted or cancelled; nothing is visible`;

/** Errors of the file system that pass with time or with more room. */
const TRANSIENT = new Set(["ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "EBUSY"]);

/** Converts an error of the runtime about a file or a permission; returns others as they are. */
export function typedError(error: unknown): unknown {
  const options = { cause: error };
  if (error instanceof Deno.errors.NotCapable) {
    return new ConfigError(`Cannot continue: ${error.message}`, options);
  }
  const isOfFile = error instanceof Error && / \(os error \d+\)/.test(error.message);
  const code = isOfFile ? codeOf(error) : undefined;
  if (code === undefined) return error;
  const message = `Cannot continue: ${(error as Error).message}`;
  return TRANSIENT.has(code)
    ? new StoreError("store-unavailable", message, options)
    : new ConfigError(message, options);
}

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.usage;
  if (error instanceof CancelledError) return EXIT.interrupted;
  if (
    error instanceof StoreError || error instanceof DatabaseError ||
    error instanceof ServerError || error instanceof LeaseLostError ||
    error instanceof OutputError || error instanceof QuotaError && error.retryable
  ) return EXIT.unavailable;
  return error instanceof MpackdError ? EXIT.rejected : EXIT.internal;
}

/** Prints an error: text on stderr, and with `json` one document on stdout. */
export async function printError(
  thrown: unknown,
  options: {
    readonly json: boolean;
    /** What the error is about, if the command does several. */
    readonly source?: string;
  },
): Promise<void> {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const record = describe(error);
  const { source } = options, about = source === undefined ? "" : `${source}: `;
  tell(`${about}${record.message.replaceAll("\n", " ")} (${record.code})`);
  if (record.code === "internal" && error.stack !== undefined) tell(redact(error.stack));
  if (!options.json) return;
  const ghosts = error instanceof GhostError
    ? { missing: error.missing, missing_count: error.missingCount }
    : {};
  try {
    await printJson({ ...(source && { source }), error: { ...record, ...ghosts } });
  } catch (failed) {
    // Stdout may be the very thing that failed. The exit code and stderr still tell.
    if (error instanceof OutputError || error instanceof CancelledError) return;
    tell((failed as Error).message);
  }
}
