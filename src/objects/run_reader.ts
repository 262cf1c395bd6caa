/**
 * One request for many contents. Bytes between them are read and dropped.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";
import { isBlobMissing, type MpackdError, ObjectError } from "../errors.ts";
import type { BlobReader, BlobStore } from "../stream/store/blob_store.ts";
import type { Run } from "./plan_reads.ts";
import { openAnyVersion } from "./open_version.ts";
import { asMismatch } from "./check_object.ts";

/**
 * Read at once: one read of a folder takes 20 µs and more, whatever its length, and most contents lie
 * close together.
 */
const AHEAD_BYTES = 256 * 1024;

/** An open run. Contents are read in order. Any of them may be skipped or read in part. */
export class RunReader implements AsyncDisposable {
  readonly #reader: BlobReader;
  #positionBytes: number;
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  /** What was read ahead. */
  #ahead = new Uint8Array();
  /** Bytes of the run that the blob has not been asked for. */
  #restBytes: number;

  private constructor(reader: BlobReader, positionBytes: number, lengthBytes: number) {
    this.#reader = reader;
    this.#positionBytes = positionBytes;
    this.#restBytes = lengthBytes;
  }

  /** Opens the run's blob. The caller checks each content. */
  static async open(store: BlobStore, run: Run, signal?: AbortSignal): Promise<RunReader> {
    const first = run[0], last = run[run.length - 1];
    const lengthBytes = last.contentOffset + last.sizeBytes - first.contentOffset;
    const reader = await openAnyVersion(store, first.blobKey, {
      offsetBytes: first.contentOffset,
      lengthBytes,
      etag: first.etag,
      signal,
    });
    return new RunReader(reader, first.contentOffset, lengthBytes);
  }

  /**
   * Moves forward to the first byte of a content.
   *
   * @throws {RangeError} If the blob ends before it.
   */
  async seek({ contentOffset }: ObjectLocation): Promise<void> {
    while (this.#positionBytes < contentOffset) {
      if (this.#ahead.length === 0 && await this.#readAhead() === 0) throw this.#cut();
      this.#drop(Math.min(this.#ahead.length, contentOffset - this.#positionBytes));
    }
  }

  /** Moves to a content and reads all of it. */
  async content(location: ObjectLocation): Promise<Uint8Array<ArrayBuffer>> {
    await this.seek(location);
    const content = new Uint8Array(location.sizeBytes);
    if (await this.read(content) < content.length) throw this.#cut();
    return content;
  }

  /** Continues where the last read ended. */
  async read(into: Uint8Array): Promise<number> {
    let filledBytes = 0;
    while (filledBytes < into.length) {
      if (this.#ahead.length > 0) {
        const part = this.#ahead.subarray(0, into.length - filledBytes);
        into.set(part, filledBytes);
        filledBytes += part.length;
        this.#drop(part.length);
        continue;
      }
      const rest = into.subarray(filledBytes);
      if (rest.length < AHEAD_BYTES) {
        if (await this.#readAhead() === 0) break;
        continue;
      }
      const readBytes = await this.#reader.read(rest);
      this.#restBytes -= readBytes;
      this.#positionBytes += readBytes;
      filledBytes += readBytes;
      if (readBytes < rest.length) break;
    }
    return filledBytes;
  }

  /** Fills the buffer with what follows; returns how many bytes there are, 0 at the end of the run. */
  async #readAhead(): Promise<number> {
    this.#buffer ??= new Uint8Array(Math.min(AHEAD_BYTES, this.#restBytes));
    const readBytes = await this.#reader.read(this.#buffer);
    this.#restBytes -= readBytes;
    this.#ahead = this.#buffer.subarray(0, readBytes);
    return readBytes;
  }

  #drop(sizeBytes: number): void {
    this.#positionBytes += sizeBytes;
    this.#ahead = this.#ahead.subarray(sizeBytes);
  }

  #cut(): RangeError {
    return new RangeError(`Cannot continue: the blob ended at byte ${this.#positionBytes}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.close();
  }
}

/**
 * The error, if it is about this object.
 *
 * @throws The error, if it is not about this object: the store may answer later.
 */
export function refusalOf(location: ObjectLocation, error: unknown): MpackdError {
  const verdict = asMismatch(location, error);
  if (verdict instanceof ObjectError || isBlobMissing(verdict)) return verdict;
  throw error;
}
