/** A synchronous SHA-256. */
export interface Core {
  update(bytes: Uint8Array): void;
  /** The midstate as bytes (see midstate.ts); undefined if the engine cannot save it. */
  save(): Uint8Array | undefined;
  /** The digest in lower-case hex. Ends the core. */
  digest(): string;
}

/** An engine whose state can be saved and loaded. */
export interface ResumableCore extends Core {
  save(): Uint8Array;
  /**
   * Continues from a midstate, whichever engine saved it.
   *
   * @throws {RangeError} If it is not one.
   */
  load(midstate: Uint8Array): void;
}
