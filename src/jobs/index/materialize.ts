/**
 * Writes every object as its own blob while the pack streams by (`--materialize`).
 *
 * A blob's key is a digest. The store is told that digest and rejects other content, so the blob under
 * an object's key is always that object. The job hashes contents only for a store that cannot check
 * digests itself. An object that does not hash to its id is left out and counted.
 *
 * The decoder's hooks are synchronous and its buffers are reused, so contents are copied, and the
 * pipeline waits in `drain()` while too much is in memory. Contents of up to 1 MiB are collected and
 * written whole, several at once; a larger one is streamed into one put. A content that cannot be
 * streamed, because its id follows it, it is encoded or an earlier attempt saw its beginning, is read
 * again from the pack. The blob of an encoded content holds the plain bytes.
 *
 * @module
 */

import { objectKeyOf } from "../../config/config.ts";
import { hasValidRef } from "../../db/publish/materialized.ts";
import { digestOf } from "../../lib/ids.ts";
import type { Encoding } from "../../lib/object_columns.ts";
import type { DecoderHooks } from "../../stream/mpack/mpack_decoder.ts";
import { checkedBody, DigestError } from "../../stream/store/checked_body.ts";
import { BodyQueue } from "../../stream/store/body_queue.ts";
import { statIfPresent } from "../../stream/store/stat_if_present.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";
import { decodeZstd } from "../../stream/zstd/decode_zstd.ts";
import { ZstdError } from "../../stream/zstd/zstd_error.ts";
import type { IndexContext } from "./context.ts";
import type { MaterializeCounts } from "./result.ts";

/** Contents up to this length are collected; longer ones are streamed. */
const COLLECTED_BYTES = 1024 * 1024;

/** Which pack is materialized. */
interface MaterializeOptions {
  readonly repoId: string;
  /** The pack's key in the store. */
  readonly blobKey: string;
  /** Ends every write; nothing of an unfinished one is left. */
  readonly signal: AbortSignal;
}

/** The object whose content is being decoded. */
interface CurrentObject {
  readonly contentOffset: number;
  readonly sizeBytes: number;
  /** The content, if it is collected. */
  readonly collected?: Uint8Array<ArrayBuffer>;
  /** The body of its put, if it is streamed. */
  readonly queue?: BodyQueue;
  readonly written?: Promise<void>;
  filledBytes: number;
  /** Whether the put is given up, because the content is encoded. */
  isDropped?: boolean;
}

/** An object of the pack. */
interface LocatedContent {
  readonly objectId: string;
  readonly contentOffset: number;
  readonly sizeBytes: number;
}

/** Writes the objects of one pack. */
export class Materializer {
  /** Hooks for the decoder. */
  readonly hooks: DecoderHooks;
  /** The version of the pack; set it before the first byte is decoded. */
  etag: string | undefined;
  readonly #context: IndexContext;
  readonly #options: MaterializeOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #counts = { written: 0, existing: 0, mismatched: 0 };
  /** Writes under way of objects whose content was decoded to its end. */
  readonly #writes = new Set<Promise<void>>();
  /** Writes that wait for a slot. */
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  /** Bytes of contents in memory. */
  #heldBytes = 0;
  #current: CurrentObject | undefined;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(context: IndexContext, options: MaterializeOptions) {
    this.#context = context;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.hooks = {
      contentStart: (sizeBytes, contentOffset, objectId) =>
        this.#current = this.#begin(sizeBytes, contentOffset, objectId),
      contentBytes: (bytes) => this.#take(bytes),
      object: (...object) => this.#end(...object),
    };
    this.#signal.addEventListener("abort", () => this.#fail(this.#signal.reason));
  }

  get counts(): MaterializeCounts {
    return { ...this.#counts };
  }

  /**
   * Waits until there is room in memory for another chunk of the pack.
   *
   * @throws The error of a failed write.
   */
  async drain(): Promise<void> {
    const { materializeBytes, materializePuts } = this.#context.config;
    for (;;) {
      if (this.#failure) throw this.#failure;
      const isFull = this.#heldBytes > materializeBytes ||
        this.#writes.size > 2 * materializePuts;
      if (!isFull) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /**
   * Waits for the blobs of all objects that the decoder has completed.
   *
   * @throws The error of a failed write.
   */
  async settled(): Promise<void> {
    await Promise.all(this.#writes);
    if (this.#failure) throw this.#failure;
  }

  /** Aborts the writes under way and waits for them. Call it at the end of every reading. */
  async close(): Promise<void> {
    this.#fail(new Error("Cannot write the object: the attempt has ended"));
    await Promise.allSettled([...this.#writes, this.#current?.written]);
  }

  #begin(sizeBytes: number, contentOffset: number, objectId: string | undefined): CurrentObject {
    const current: CurrentObject = { contentOffset, sizeBytes, filledBytes: 0 };
    if (sizeBytes <= COLLECTED_BYTES) {
      this.#heldBytes += sizeBytes;
      return { ...current, collected: new Uint8Array(sizeBytes) };
    }
    if (objectId === undefined || this.#failure) return current;
    const queue = new BodyQueue((freedBytes) => this.#free(freedBytes));
    const streamed: CurrentObject = {
      ...current,
      queue,
      written: this.#put(
        objectId,
        sizeBytes,
        () => Promise.resolve(queue),
        () => streamed.isDropped === true,
      ).finally(() => queue.close()),
    };
    return streamed;
  }

  #take(bytes: Uint8Array): void {
    const current = this.#current;
    if (current?.collected) {
      current.collected.set(bytes, current.filledBytes);
      current.filledBytes += bytes.length;
    } else if (current?.queue) {
      this.#heldBytes += bytes.length;
      // A copy, because the buffer is handed on to the hasher.
      current.queue.push(bytes.slice());
    }
  }

  #end(
    objectId: string,
    contentOffset: number,
    sizeBytes: number,
    encoding: Encoding | null,
  ): void {
    const current = this.#current?.contentOffset === contentOffset ? this.#current : undefined;
    this.#current = undefined;
    if (encoding !== null) {
      const object = { objectId, contentOffset, sizeBytes };
      return this.#watch(this.#putDecoded(object, current));
    }
    if (current?.queue) {
      current.queue.end();
      return this.#watch(current.written!);
    }
    const { collected } = current ?? {};
    if (!collected) {
      const again = () => this.#readAgain(contentOffset, sizeBytes);
      return this.#watch(this.#put(objectId, sizeBytes, again));
    }
    const written = this.#put(objectId, sizeBytes, () => Promise.resolve(once(collected)));
    this.#watch(written.finally(() => this.#free(sizeBytes)));
  }

  #watch(written: Promise<void>): void {
    const watched = written.finally(() => {
      this.#writes.delete(watched);
      this.#wake?.();
    });
    this.#writes.add(watched);
  }

  /** Decodes a content twice, because a put needs the length first. Never rejects. */
  async #putDecoded(object: LocatedContent, current: CurrentObject | undefined): Promise<void> {
    const { objectId, contentOffset, sizeBytes } = object;
    const { maxContentBytes: maxBytes } = this.#context.config;
    if (current?.queue) {
      // Its encoding followed the content, whose encoded bytes are on their way to the store.
      current.isDropped = true;
      current.queue.fail(new Error("Cannot write the object: its content is encoded"));
      await current.written;
    }
    const plain = async () => {
      const stored = current?.collected
        ? once(current.collected)
        : await this.#readAgain(contentOffset, sizeBytes);
      return decodeZstd(stored, { maxBytes });
    };
    try {
      let plainBytes = 0;
      for await (const chunk of await plain()) plainBytes += chunk.length;
      await this.#put(objectId, plainBytes, plain);
    } catch (error) {
      if (error instanceof ZstdError) this.#counts.mismatched++;
      else this.#fail(error);
    } finally {
      if (current?.collected) this.#free(sizeBytes);
    }
  }

  /** Never rejects: `drain()` and `settled()` throw its error. */
  async #put(
    objectId: string,
    sizeBytes: number,
    body: () => Promise<Body>,
    isDropped = () => false,
  ): Promise<void> {
    const { store, config } = this.#context, { repoId } = this.#options, signal = this.#signal;
    const key = objectKeyOf(config.objectKey, repoId, objectId);
    await this.#takeSlot();
    try {
      if (this.#failure) throw this.#failure;
      if (await this.#isThere(key, objectId, sizeBytes)) {
        this.#counts.existing++;
        return;
      }
      const sha256Hex = digestOf(objectId), content = await body();
      const checked = store.provesDigests ? content : checkedBody(key, content, { sha256Hex });
      await store.put(key, checked, { sizeBytes, sha256Hex, signal });
      this.#counts.written++;
    } catch (error) {
      if (isDropped()) return;
      if (error instanceof DigestError) this.#counts.mismatched++;
      else this.#fail(error);
    } finally {
      this.#freeSlot();
    }
  }

  /**
   * Whether the blob is there and has a ref. A blob without one is written again: gc goes by its age
   * and may be about to delete it.
   */
  async #isThere(key: string, objectId: string, sizeBytes: number): Promise<boolean> {
    const { db, store } = this.#context, { repoId } = this.#options;
    const stat = await statIfPresent(store, key, { signal: this.#signal });
    return stat?.sizeBytes === sizeBytes && await hasValidRef(db, repoId, objectId);
  }

  async #readAgain(offsetBytes: number, lengthBytes: number): Promise<Body> {
    if (lengthBytes === 0) return once(new Uint8Array());
    const { store } = this.#context, { blobKey } = this.#options;
    const range = { offsetBytes, lengthBytes, etag: this.etag, signal: this.#signal };
    return iterateReader(await store.open(blobKey, range));
  }

  /** Waits for one of the slots for writes; `#freeSlot()` passes it on. */
  async #takeSlot(): Promise<void> {
    if (this.#running < this.#context.config.materializePuts) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #freeSlot(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running--;
  }

  #free(sizeBytes: number): void {
    this.#heldBytes -= sizeBytes;
    this.#wake?.();
  }

  #fail(reason: unknown): void {
    if (this.#failure) return;
    this.#failure = reason instanceof Error ? reason : new Error(String(reason));
    this.#current?.queue?.fail(this.#failure);
    this.#stop.abort(this.#failure);
    this.#wake?.();
  }
}

type Body = AsyncIterable<Uint8Array>;

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
