/** Which implementation hashes. */
export type HashEngine = "wasm" | "simd" | "native";

/** A running SHA-256. Close it, or use `using`. */
export interface Sha256 extends Disposable {
  /** Bytes hashed so far by this instance, without those before a loaded state. */
  readonly bytesHashed: number;
  /**
   * A free buffer to fill; waits until there is one.
   *
   * @throws {Error} If the hasher has failed.
   */
  borrow(): Promise<Uint8Array<ArrayBuffer>>;
  /** Hashes the first `sizeBytes` of a borrowed buffer, which the caller must not touch again. */
  update(buffer: Uint8Array<ArrayBuffer>, sizeBytes: number): void;
  /** Hashes bytes that the caller keeps. Undefined if another thread hashes. */
  hash?(bytes: Uint8Array): void;
  /**
   * The midstate after all bytes so far, which any engine that can load one continues from (see
   * midstate.ts). Undefined if the engine cannot save it. It is as secret as the bytes.
   */
  save(): Promise<Uint8Array | undefined>;
  /** The digest of all bytes as 64 lower-case hex digits. Ends the hasher. */
  digest(): Promise<string>;
}

/** Settings of either hasher. */
export interface HasherSettings {
  readonly engine: HashEngine;
  /** Length of each buffer in bytes. */
  readonly bufferBytes: number;
  /** How many buffers there are; the inline hasher has one. */
  readonly buffers: number;
  /** A saved state to go on from. */
  readonly state?: Uint8Array;
  /** Path of libcrypto, to make the native engine resumable. */
  readonly libcrypto?: string;
  /** How long to wait for an answer of the thread, in milliseconds. */
  readonly deadlineMs: number;
}
