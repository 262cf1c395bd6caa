/** Which implementation hashes. */
export type HashEngine = "wasm" | "native";

/** A running SHA-256. Close it, or use `using`. */
export interface Sha256 extends Disposable {
  /** Bytes handed in so far by this instance (not those before a loaded state). */
  readonly bytesHashed: number;
  /**
   * A free buffer to fill; waits until there is one.
   *
   * @throws {Error} If the hasher has failed.
   */
  borrow(): Promise<Uint8Array<ArrayBuffer>>;
  /** Hashes the first `sizeBytes` of a borrowed buffer, which must not be touched any more. */
  update(buffer: Uint8Array<ArrayBuffer>, sizeBytes: number): void;
  /**
   * The state after all bytes handed in so far; undefined where the engine cannot give it.
   * As secret as the bytes that went in.
   */
  save(): Promise<Uint8Array | undefined>;
  /** The digest of everything handed in, as 64 lower-case hex digits. Ends the hasher. */
  digest(): Promise<string>;
}

/** What both ways of hashing need to know. */
export interface HasherSettings {
  /** Which core. */
  readonly engine: HashEngine;
  /** Length of each buffer in bytes. */
  readonly bufferBytes: number;
  /** How many buffers there are; one is enough inline. */
  readonly buffers: number;
  /** Where to go on. */
  readonly state?: Uint8Array;
  /** How long a thread may be silent while it is waited for, in milliseconds. */
  readonly deadlineMs: number;
}
