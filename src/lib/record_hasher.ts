/** A SHA-256 that can be saved between two updates, and loaded again. */
export interface ResumableHash {
  /** Hashes the next bytes. */
  update(bytes: Uint8Array): void;
  /** The midstate, from which `open()` continues. */
  save(): Uint8Array;
  /** The digest as 64 lower-case hex digits. Ends the hash. */
  digest(): string;
}

/**
 * SHA-256 of records, given to the decoder because the decoder imports no hash. It must be
 * synchronous.
 */
export interface RecordHasher {
  /** The SHA-256 of these bytes, or of a text as UTF-8, as 64 lower-case hex digits. */
  hash(input: Uint8Array | string): string;
  /** Starts a hash, or continues from a midstate. */
  open(midstate?: Uint8Array): ResumableHash;
}
