import { HistoryError } from "../../errors.ts";

/** Counts bytes against a limit. */
export class ByteBudget {
  /** Bytes counted so far. */
  usedBytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number = Infinity) {
    this.#maxBytes = maxBytes;
  }

  /** Whether there is a limit. */
  get isLimited(): boolean {
    return this.#maxBytes !== Infinity;
  }

  /**
   * Counts bytes.
   *
   * @throws {HistoryError} `fetch-too-large`.
   */
  add(bytes: number): void {
    this.usedBytes += bytes;
    if (this.usedBytes <= this.#maxBytes) return;
    throw new HistoryError(
      "fetch-too-large",
      `Cannot send the history: it has more than ${this.#maxBytes} bytes`,
    );
  }
}
