/**
 * The errors of mpackd. A class exists only where a caller acts differently. Everything else is
 * distinguished by `code`, which is part of the public interface (CLI `--json`, job rows, HTTP
 * problem details).
 *
 * @module
 */

/** Why an mpack was rejected. Retrying the same bytes cannot help. */
export type MpackErrorCode =
  | "digest-mismatch"
  | "size-mismatch"
  | "truncated"
  | "trailing-bytes"
  | "malformed-msgpack"
  | "unexpected-shape"
  | "duplicate-key"
  | "bad-object-id"
  | "bad-content"
  | "unsupported-encoding"
  | "declared-count-mismatch"
  | "limit-exceeded"
  | "bad-record-id"
  | "bad-text"
  | "bad-path"
  | "false-id"
  | "ghost-objects"
  | "unverifiable-snapshot"
  | "history-cycle"
  | "parent-missing"
  | "snapshot-missing"
  | "tagged-commit-missing"
  | "tips"
  | "bad-branch-name"
  | "diverged";

/** Every code an mpackd error can carry. */
export type ErrorCode =
  | MpackErrorCode
  | "config"
  | "repo-not-found"
  | "object-not-found"
  | "object-mismatch"
  | "history-not-found"
  | "record-mismatch"
  | "fetch-too-large"
  | "quota-exceeded"
  | "blob-missing"
  | "store-unavailable"
  | "server-unavailable"
  | "database-unavailable"
  | "shard-moved"
  | "output-failed"
  | "lease-lost"
  | "cancelled";

/** The base of every error that mpackd throws on purpose. */
export abstract class MpackdError<Code extends ErrorCode = ErrorCode> extends Error {
  /** The reason, for programs. */
  readonly code: Code;
  /** Whether the same call may succeed later without a change by the caller. */
  readonly retryable: boolean;

  /** Builds the error; the name printed is the class's. */
  constructor(
    message: string,
    options: ErrorOptions & { readonly code: Code; readonly retryable: boolean },
  ) {
    super(message, options);
    this.name = new.target.name;
    this.code = options.code;
    this.retryable = options.retryable;
  }
}

/** A setting, an argument or a name is wrong. The caller has to change it. */
export class ConfigError extends MpackdError<"config" | "repo-not-found"> {
  /** Builds the error. `code` is `config` unless the repo is missing. */
  constructor(
    message: string,
    options: ErrorOptions & { readonly code?: "config" | "repo-not-found" } = {},
  ) {
    super(message, { ...options, code: options.code ?? "config", retryable: false });
  }
}

/** The mpack is rejected for its bytes, shape, size or digest. Permanent. */
export class InvalidMpackError extends MpackdError<MpackErrorCode> {
  /** Position of the first wrong byte in the mpack, if one is known. */
  readonly offsetBytes?: number;

  /** Builds the error. `offsetBytes`, if given, becomes part of the message. */
  constructor(
    code: MpackErrorCode,
    message: string,
    options: ErrorOptions & { readonly offsetBytes?: number } = {},
  ) {
    const { offsetBytes } = options;
    const place = offsetBytes === undefined ? "" : ` at byte ${offsetBytes}`;
    super(message + place, { ...options, code, retryable: false });
    if (offsetBytes !== undefined) this.offsetBytes = offsetBytes;
  }

  /** Rebuilds a recorded error, whose message already names the offset. */
  static recorded(code: MpackErrorCode, message: string, offsetBytes?: number): InvalidMpackError {
    const error = new InvalidMpackError(code, message);
    return offsetBytes === undefined ? error : Object.assign(error, { offsetBytes });
  }
}

/**
 * The mpack's snapshots name objects that are neither in the mpack nor in the repo. Push those
 * objects, then push the mpack again.
 */
export class GhostError extends InvalidMpackError {
  /** Builds the error. */
  constructor(
    /** The first missing ids, sorted. */
    readonly missing: readonly string[],
    /** How many ids are missing. */
    readonly missingCount: number,
  ) {
    super(
      "ghost-objects",
      `Cannot accept the mpack: its snapshots name ${
        missingCount === 1 ? "1 object that is" : `${missingCount} objects that are`
      } neither in it ` +
        `nor in the repo, such as ${missing[0]}`,
    );
  }
}

/** An object cannot be read: the repo has no ref for it, or its bytes do not hash to its id. */
export class ObjectError extends MpackdError<"object-not-found" | "object-mismatch"> {
  /** Builds the error. */
  constructor(
    code: "object-not-found" | "object-mismatch",
    message: string,
    options: ErrorOptions = {},
  ) {
    super(message, { ...options, code, retryable: false });
  }
}

/** Why history cannot be read. */
export type HistoryErrorCode = "history-not-found" | "record-mismatch" | "fetch-too-large";

/**
 * A commit, snapshot, branch or path is not in the repo; a record is not what its id says; or what
 * was asked for is larger than the caller's limit.
 */
export class HistoryError extends MpackdError<HistoryErrorCode> {
  /** Builds the error. */
  constructor(
    code: HistoryErrorCode,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(message, { ...options, code, retryable: false });
  }
}

/** A limit of a tenant, and how much of it is used. */
export interface QuotaState {
  /** Whose limit it is: the repo's, or its owner's for all of their repos together. */
  readonly of: "owner" | "repo";
  /** What is limited; pushes are those of an hour. */
  readonly what: "bytes" | "objects" | "packs" | "pushes";
  /** How much is used. */
  readonly used: number;
  /** How much may be used. */
  readonly limit: number;
}

/** A limit that a push would exceed; `used` is without the push. */
export interface ExceededQuota extends QuotaState {
  /** Milliseconds until the push may succeed; undefined if time alone does not help. */
  readonly retryAfterMs?: number;
}

/** A push would exceed a quota. Nothing of it is visible. */
export class QuotaError extends MpackdError<"quota-exceeded"> {
  /** The limit; undefined in an error that is rebuilt from a job's row. */
  readonly quota?: ExceededQuota;

  /** Builds the error. */
  constructor(message: string, quota?: ExceededQuota) {
    super(message, { code: "quota-exceeded", retryable: quota?.retryAfterMs !== undefined });
    if (quota !== undefined) this.quota = quota;
  }
}

/** The blob store cannot read or write the bytes now. */
export class StoreError extends MpackdError<"blob-missing" | "store-unavailable"> {
  /** The HTTP status of the store's answer, if there was one. */
  readonly status?: number;

  /** Builds the error. `retryable` defaults to true; wrong credentials, for example, set it to false. */
  constructor(
    code: "blob-missing" | "store-unavailable",
    message: string,
    options: ErrorOptions & { readonly status?: number; readonly retryable?: boolean } = {},
  ) {
    super(message, { ...options, code, retryable: options.retryable ?? true });
    if (options.status !== undefined) this.status = options.status;
  }
}

/** Whether `error` says that a store has no such blob, or another version of it (status 412). */
export function isBlobMissing(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code === "blob-missing";
}

/**
 * The store is not the one that belongs to the database: its mount is gone, for example. Nothing can
 * be said about its blobs.
 */
export class WrongStoreError extends StoreError {
  /** Builds the error. */
  constructor(message: string, options: ErrorOptions = {}) {
    super("store-unavailable", message, options);
  }
}

/** The server that a command talks to (`push`, `clone`) does not answer, or is too busy. */
export class ServerError extends MpackdError<"server-unavailable"> {
  /** The HTTP status of its answer, if there was one. */
  readonly status?: number;

  /** Builds the error. */
  constructor(message: string, options: ErrorOptions & { readonly status?: number } = {}) {
    super(message, { ...options, code: "server-unavailable", retryable: true });
    if (options.status !== undefined) this.status = options.status;
  }
}

/** The database did not answer, or cannot do the work now. */
export class DatabaseError extends MpackdError<"database-unavailable" | "shard-moved"> {
  /** The shard's name; undefined if it is the catalog. */
  readonly shard?: string;

  /** Builds the error. `retryable` defaults to true. */
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly code?: "database-unavailable" | "shard-moved";
      readonly retryable?: boolean;
      readonly shard?: string;
    } = {},
  ) {
    const { code = "database-unavailable", retryable = true } = options;
    super(message, { ...options, code, retryable });
    if (options.shard !== undefined) this.shard = options.shard;
  }
}

/**
 * The rows are elsewhere, or will be in seconds: `mpackd shard move` has fenced them. Nothing was
 * written. Read from the catalog where they are, and do the same there.
 */
export class ShardMovedError extends DatabaseError {
  /** Builds the error. */
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: "shard-moved" });
  }
}

/** Stdout cannot be written: the disk is full, for example. What was printed is incomplete. */
export class OutputError extends MpackdError<"output-failed"> {
  /** Builds the error. */
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: "output-failed", retryable: true });
  }
}

/** Another worker holds the job now. Stop at once, write nothing, record no failure. */
export class LeaseLostError extends MpackdError<"lease-lost"> {
  /** Builds the error. */
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: "lease-lost", retryable: true });
  }
}

/** The work was asked to stop, by a signal, a drain or `jobs cancel`. This is not a failure. */
export class CancelledError extends MpackdError<"cancelled"> {
  /** Builds the error. */
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: "cancelled", retryable: true });
  }
}
