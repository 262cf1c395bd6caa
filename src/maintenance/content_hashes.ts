/**
 * Hashes the contents that a decoder passes by. An id is of the plain bytes, so encoded ones are
 * decoded.
 *
 * The encoding may follow the content, so a content that begins as zstd does is decoded before it is
 * known whether it has to be.
 *
 * @module
 */

import { ObjectHash } from "../hash/object_hash.ts";
import type { Encoding } from "../lib/object_columns.ts";
import type { DecoderHooks } from "../stream/mpack/mpack_decoder.ts";
import { BodyQueue } from "../stream/store/body_queue.ts";
import { decodeZstd } from "../stream/zstd/decode_zstd.ts";
import { isZstdMagic, MAGIC_BYTES } from "../stream/zstd/frame_walker.ts";
import { ZstdError } from "../stream/zstd/zstd_error.ts";

/** An object that has passed by. */
export interface HashedObject {
  readonly objectId: string;
  readonly contentOffset: number;
  /** Length of the content in the pack. */
  readonly sizeBytes: number;
  readonly encoding: Encoding | null;
  /** 64 hex digits of the plain bytes; undefined if they cannot be decoded. */
  readonly digest: string | undefined;
  /** Why they cannot be decoded. */
  readonly problem?: string;
}

/** A content that is being decoded. */
interface Decoding {
  readonly queue: BodyQueue;
  readonly digest: Promise<string>;
}

/** Hashes contents. Call `drain()` after each chunk: it bounds the memory. */
export class ContentHashes {
  readonly hooks: DecoderHooks;
  readonly #onObject: (object: HashedObject) => void;
  readonly #maxBytes: number;
  readonly #pending = new Set<Promise<void>>();
  #heldBytes = 0;
  #onDrained: (() => void) | undefined;

  // The content that is passing by.
  #hash = new ObjectHash();
  readonly #head = new Uint8Array(MAGIC_BYTES);
  #headBytes = 0;
  #decoding: Decoding | undefined;

  /** Calls `onObject` for each object: an encoded one during a later `drain()`. */
  constructor(
    { maxContentBytes, onObject }: {
      readonly maxContentBytes: number;
      readonly onObject: (object: HashedObject) => void;
    },
  ) {
    this.#maxBytes = maxContentBytes;
    this.#onObject = onObject;
    this.hooks = {
      contentStart: () => {
        this.#abandon();
        this.#hash = new ObjectHash();
        this.#headBytes = 0;
      },
      contentBytes: (bytes) => this.#take(bytes),
      object: (...object) => this.#end(...object),
    };
  }

  /** Waits until what has passed by is decoded. */
  async drain(): Promise<void> {
    if (this.#heldBytes > 0) await new Promise<void>((resolve) => this.#onDrained = resolve);
    await Promise.all(this.#pending);
  }

  /** Ends the decoding of a content that will not be completed. */
  async close(): Promise<void> {
    this.#abandon();
    await Promise.all(this.#pending);
  }

  #take(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    let at = 0;
    if (this.#headBytes < MAGIC_BYTES) {
      at = Math.min(MAGIC_BYTES - this.#headBytes, bytes.length);
      this.#head.set(bytes.subarray(0, at), this.#headBytes);
      this.#headBytes += at;
      if (this.#headBytes === MAGIC_BYTES && isZstdMagic(this.#head)) {
        this.#decoding = this.#decode();
        this.#push(this.#head.slice());
      }
    }
    // A copy, because the buffer is used again.
    if (this.#decoding && at < bytes.length) this.#push(bytes.slice(at));
  }

  #push(bytes: Uint8Array): void {
    this.#heldBytes += bytes.length;
    this.#decoding!.queue.push(bytes);
  }

  #decode(): Decoding {
    const queue = new BodyQueue((freedBytes) => {
      this.#heldBytes -= freedBytes;
      if (this.#heldBytes === 0) this.#onDrained?.();
    });
    const hash = async () => {
      const plain = new ObjectHash();
      try {
        for await (const chunk of decodeZstd(queue, { maxBytes: this.#maxBytes })) {
          plain.update(chunk);
        }
        return plain.digest();
      } finally {
        queue.close();
      }
    };
    const digest = hash();
    // Whoever needs the digest gets the error.
    digest.catch(() => {});
    return { queue, digest };
  }

  #abandon(): void {
    this.#decoding?.queue.fail(new ZstdError("they are not needed"));
    this.#decoding = undefined;
  }

  #end(
    objectId: string,
    contentOffset: number,
    sizeBytes: number,
    encoding: Encoding | null,
  ): void {
    const object = { objectId, contentOffset, sizeBytes, encoding }, decoding = this.#decoding;
    if (encoding === null) {
      this.#abandon();
      return this.#onObject({ ...object, digest: this.#hash.digest() });
    }
    this.#decoding = undefined;
    const refuse = (problem: string) => this.#onObject({ ...object, digest: undefined, problem });
    if (decoding === undefined) return refuse("they are not a zstd frame");
    decoding.queue.end();
    const done = decoding.digest
      .then((digest) => this.#onObject({ ...object, digest }), (error) => refuse(error.message))
      .finally(() => this.#pending.delete(done));
    this.#pending.add(done);
  }
}
