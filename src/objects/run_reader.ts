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

const SCRATCH_BYTES = 64 * 1024;

/** An open run. Contents are read in order. Any of them may be skipped or read in part. */
export class RunReader implements AsyncDisposable {
  readonly #reader: BlobReader;
  #positionBytes: number;
  #scratch: Uint8Array<ArrayBuffer> | undefined;

  private constructor(reader: BlobReader, positionBytes: number) {
    this.#reader = reader;
    this.#positionBytes = positionBytes;
  }

  /** Opens the run's blob. The caller checks each content. */
  static async open(store: BlobStore, run: Run, signal?: AbortSignal): Promise<RunReader> {
    const first = run[0], last = run[run.length - 1];
    const reader = await openAnyVersion(store, first.blobKey, {
      offsetBytes: first.contentOffset,
      lengthBytes: last.contentOffset + last.sizeBytes - first.contentOffset,
      etag: first.etag,
      signal,
    });
    return new RunReader(reader, first.contentOffset);
  }

  /**
   * Moves forward to the first byte of a content.
   *
   * @throws {RangeError} If the blob ends before it.
   */
  async seek({ contentOffset }: ObjectLocation): Promise<void> {
    while (this.#positionBytes < contentOffset) {
      this.#scratch ??= new Uint8Array(SCRATCH_BYTES);
      await this.#fill(this.#scratch.subarray(0, contentOffset - this.#positionBytes));
    }
  }

  /** Moves to a content and reads all of it. */
  async content(location: ObjectLocation): Promise<Uint8Array<ArrayBuffer>> {
    await this.seek(location);
    const content = new Uint8Array(location.sizeBytes);
    await this.#fill(content);
    return content;
  }

  /** Continues where the last read ended. */
  async read(into: Uint8Array): Promise<number> {
    const readBytes = await this.#reader.read(into);
    this.#positionBytes += readBytes;
    return readBytes;
  }

  async #fill(into: Uint8Array): Promise<void> {
    if (await this.read(into) < into.length) {
      throw new RangeError(`Cannot continue: the blob ended at byte ${this.#positionBytes}`);
    }
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
