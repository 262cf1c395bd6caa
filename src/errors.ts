/**
 * What can go wrong, as types. A class exists only where a caller acts differently; everything
 * else is told apart by `code`, which is part of the public interface (CLI `--json`, job rows,
 * HTTP problem details).
 *
 * @module
 */

/** Why a pack was refused. Retrying the same bytes cannot help. */
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
  | "declared-count-mismatch"
  | "limit-exceeded"
  | "ghost-objects";

/** Every code an mpackd error can carry. */
export type ErrorCode =
  | MpackErrorCode
  | "config"
  | "repo-not-found"
  | "object-not-found"
  | "object-mismatch"
  | "blob-missing"
  | "store-unavailable"
  | "database-unavailable"
  | "lease-lost"
  | "cancelled";

/** The base of every error that mpackd throws on purpose. */
export abstract class MpackdError<Code extends ErrorCode = ErrorCode> extends Error {
  /** The machine-readable reason. */
  readonly code: Code;
  /** Whether the same call may succeed later with nothing changed by the caller. */
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

/** A setting, an argument or a name is wrong; the caller has to change it. */
export class ConfigError extends MpackdError<"config" | "repo-not-found"> {
  /** Builds the error; `code` is `config` unless the repo is what is missing. */
  constructor(
    message: string,
    options: ErrorOptions & { readonly code?: "config" | "repo-not-found" } = {},
  ) {
    super(message, { ...options, code: options.code ?? "config", retryable: false });
  }
}

/** The pack itself is refused: its bytes, its shape, its size or its digest. Permanent. */
export class InvalidMpackError extends MpackdError<MpackErrorCode> {
  /** First byte of what is wrong, counted from the start of the pack, where one is to blame. */
  readonly offsetBytes?: number;

  /** Builds the error; `offsetBytes`, when given, becomes part of the message. */
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

  /** The error again, from a record whose message has the offset in it already. */
  static recorded(code: MpackErrorCode, message: string, offsetBytes?: number): InvalidMpackError {
    const error = new InvalidMpackError(code, message);
    return offsetBytes === undefined ? error : Object.assign(error, { offsetBytes });
  }
}

/** The pack's snapshots name objects that neither it nor the repo has. Push those, then it again. */
export class GhostError extends InvalidMpackError {
  /** Builds the error. */
  constructor(
    /** The first of the ids, sorted. */
    readonly missing: readonly string[],
    /** How many there are. */
    readonly missingCount: number,
  ) {
    super(
      "ghost-objects",
      `Cannot accept the pack: it names ${missingCount} objects that neither it nor the repo has, ` +
        `such as ${missing[0]}`,
    );
  }
}

/** One object cannot be handed out: the repo has no ref for it, or its bytes are not its id's. */
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

/** The blob store cannot give or take the bytes right now. */
export class StoreError extends MpackdError<"blob-missing" | "store-unavailable"> {
  /** The HTTP status the store answered, if it answered. */
  readonly status?: number;

  /** Builds the error; `retryable` is true unless said otherwise (wrong credentials never heal). */
  constructor(
    code: "blob-missing" | "store-unavailable",
    message: string,
    options: ErrorOptions & { readonly status?: number; readonly retryable?: boolean } = {},
  ) {
    super(message, { ...options, code, retryable: options.retryable ?? true });
    if (options.status !== undefined) this.status = options.status;
  }
}

/** The database did not answer, or answered that it cannot now. */
export class DatabaseError extends MpackdError<"database-unavailable"> {
  /** Builds the error; `retryable` is true unless said otherwise. */
  constructor(message: string, options: ErrorOptions & { readonly retryable?: boolean } = {}) {
    const retryable = options.retryable ?? true;
    super(message, { ...options, code: "database-unavailable", retryable });
  }
}

/** Another worker holds the job now. Stop at once, write nothing, record no failure. */
export class LeaseLostError extends MpackdError<"lease-lost"> {
  /** Builds the error. */
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: "lease-lost", retryable: true });
  }
}

/** Somebody asked for the work to stop: a signal, a drain, `jobs cancel`. Not a failure. */
export class CancelledError extends MpackdError<"cancelled"> {
  /** Builds the error. */
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: "cancelled", retryable: true });
  }
}
