/** Bytes cannot be decoded as zstd. Reads as the end of a sentence: "…: they are cut short". */
export class ZstdError extends Error {
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.name = "ZstdError";
  }
}
