/**
 * Every object as a blob of its own, written while the pack goes by.
 *
 * A blob is filed under a digest, so the store is told that digest and takes no other content: what
 * lies under an object's key is that object, whoever pushed it and whatever becomes of the pack. The
 * job hashes no content, unless the store is one that cannot prove it. An object that is not what its
 * id says is left out and counted.
 *
 * The decoder's hooks are synchronous and its buffers lent, so contents are copied, and the pipeline
 * waits in `drain()` while more than the limit is held. Contents of up to 1 MiB are collected and
 * written whole, several at once; larger ones flow into one put each. What cannot flow, because its
 * id follows its content or an earlier attempt saw its beginning, is read once more from the pack.
 *
 * @module
 */

import { type Config, objectKeyOf } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import { hasSoundRef } from "../../db/publish/materialized.ts";
import { isBlobMissing } from "../../errors.ts";
import type { MaterializeCounts } from "./result.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { checkedBody, DigestError } from "../../stream/store/checked_body.ts";
import { BodyQueue } from "../../stream/store/body_queue.ts";
import type { MpackHandler } from "../../stream/mpack/mpack_decoder.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";

/** Contents up to this length are collected; a longer one flows while it is decoded. */
const COLLECTED_BYTES = 1024 * 1024;

/** The end of an id, whether `sha256:` stands before it or not. */
const SHA256_DIGITS = 64;

/** What a materializer works with. */
export interface MaterializeOptions {
  /** The database. */
  readonly db: Database;
  /** Where the pack lies, and its objects will. */
  readonly store: BlobStore;
  /** The settings. */
  readonly config: Config;
  /** Whose objects they are. */
  readonly repoId: string;
  /** Where the pack lies. */
  readonly blobKey: string;
  /** Ends every write; nothing of an unfinished one is left. */
  readonly signal: AbortSignal;
}

/** An object whose content is passing by. */
interface Passing {
  readonly contentOffset: number;
  readonly sizeBytes: number;
  /** The content, if it is collected. */
  readonly collected?: Uint8Array<ArrayBuffer>;
  /** Where it goes, if it flows. */
  readonly queue?: BodyQueue;
  readonly written?: Promise<void>;
  filledBytes: number;
}

/** Writes the objects of one pack. */
export class Materializer {
  /** What the decoder is to be given. */
  readonly handler: MpackHandler;
  /** The version of the pack that is read; to be set before the first byte is decoded. */
  etag: string | undefined;
  readonly #options: MaterializeOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #counts = { written: 0, kept: 0, lying: 0 };
  /** Writes of objects that have passed by entirely. */
  readonly #whole = new Set<Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #heldBytes = 0;
  #passing: Passing | undefined;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /** Starts with nothing written. */
  constructor(options: MaterializeOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.handler = {
      contentStart: (sizeBytes, contentOffset, objectId) =>
        this.#passing = this.#begin(sizeBytes, contentOffset, objectId),
      contentBytes: (bytes) => this.#take(bytes),
      object: (objectId, contentOffset, sizeBytes) => this.#end(objectId, contentOffset, sizeBytes),
    };
    this.#signal.addEventListener("abort", () => this.#fail(this.#signal.reason));
  }

  /** What became of the objects so far. */
  get counts(): MaterializeCounts {
    return { ...this.#counts };
  }

  /**
   * Waits until few enough bytes and blobs are on their way to take another chunk of the pack.
   *
   * @throws What a write failed with.
   */
  async drain(): Promise<void> {
    const { materializeBytes, materializePuts } = this.#options.config;
    for (;;) {
      if (this.#failure) throw this.#failure;
      const isFull = this.#heldBytes > materializeBytes ||
        this.#whole.size > 2 * materializePuts;
      if (!isFull) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /**
   * Waits for the blobs of all objects that the decoder has completed.
   *
   * @throws What a write failed with.
   */
  async settled(): Promise<void> {
    await Promise.all(this.#whole);
    if (this.#failure) throw this.#failure;
  }

  /** Ends what is under way and waits for it; to be called whenever the attempt ends. */
  async close(): Promise<void> {
    this.#fail(new Error("Cannot write the object: the attempt has ended"));
    await Promise.allSettled([...this.#whole, this.#passing?.written]);
  }

  #begin(sizeBytes: number, contentOffset: number, objectId: string | undefined): Passing {
    const passing = { contentOffset, sizeBytes, filledBytes: 0 };
    if (sizeBytes <= COLLECTED_BYTES) {
      this.#heldBytes += sizeBytes;
      return { ...passing, collected: new Uint8Array(sizeBytes) };
    }
    if (objectId === undefined || this.#failure) return passing;
    const queue = new BodyQueue((freedBytes) => this.#free(freedBytes));
    const written = this.#put(objectId, sizeBytes, () => Promise.resolve(queue))
      .finally(() => queue.close());
    return { ...passing, queue, written };
  }

  #take(bytes: Uint8Array): void {
    const passing = this.#passing;
    if (passing?.collected) {
      passing.collected.set(bytes, passing.filledBytes);
      passing.filledBytes += bytes.length;
    } else if (passing?.queue) {
      this.#heldBytes += bytes.length;
      // A copy: the buffer goes on to the hasher.
      passing.queue.push(bytes.slice());
    }
  }

  #end(objectId: string, contentOffset: number, sizeBytes: number): void {
    const passing = this.#passing?.contentOffset === contentOffset ? this.#passing : undefined;
    this.#passing = undefined;
    if (passing?.queue) {
      passing.queue.end();
      return this.#watch(passing.written!);
    }
    const { collected } = passing ?? {};
    if (!collected) {
      const again = () => this.#readAgain(contentOffset, sizeBytes);
      return this.#watch(this.#put(objectId, sizeBytes, again));
    }
    const written = this.#put(objectId, sizeBytes, () => Promise.resolve(once(collected)));
    this.#watch(written.finally(() => this.#free(sizeBytes)));
  }

  #watch(written: Promise<void>): void {
    const watched = written.finally(() => {
      this.#whole.delete(watched);
      this.#wake?.();
    });
    this.#whole.add(watched);
  }

  /** Never rejects: a failure is kept for `drain()` and `settled()`. */
  async #put(objectId: string, sizeBytes: number, body: () => Promise<Body>): Promise<void> {
    const { store, config, repoId } = this.#options, signal = this.#signal;
    const key = objectKeyOf(config.objectKey, repoId, objectId);
    await this.#enter();
    try {
      if (this.#failure) throw this.#failure;
      if (await this.#isThere(key, objectId, sizeBytes)) {
        this.#counts.kept++;
        return;
      }
      const sha256Hex = objectId.slice(-SHA256_DIGITS), content = await body();
      const proved = store.provesDigests ? content : checkedBody(key, content, { sha256Hex });
      await store.put(key, proved, { sizeBytes, sha256Hex, signal });
      this.#counts.written++;
    } catch (error) {
      if (error instanceof DigestError) this.#counts.lying++;
      else this.#fail(error);
    } finally {
      this.#leave();
    }
  }

  /**
   * Whether the blob is there for good. One that no ref vouches for is written again: `gc` may be
   * about to collect it, and looks at its age.
   */
  async #isThere(key: string, objectId: string, sizeBytes: number): Promise<boolean> {
    const { db, store, repoId } = this.#options;
    try {
      const stat = await store.stat(key, { signal: this.#signal });
      return stat.sizeBytes === sizeBytes && await hasSoundRef(db, repoId, objectId);
    } catch (error) {
      if (isBlobMissing(error)) return false;
      throw error;
    }
  }

  async #readAgain(offsetBytes: number, lengthBytes: number): Promise<Body> {
    if (lengthBytes === 0) return once(new Uint8Array());
    const { store, blobKey } = this.#options;
    const range = { offsetBytes, lengthBytes, etag: this.etag, signal: this.#signal };
    return iterateReader(await store.open(blobKey, range));
  }

  /** Waits for a place among those that write; `#leave()` hands it on. */
  async #enter(): Promise<void> {
    if (this.#running < this.#options.config.materializePuts) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
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
    this.#passing?.queue?.fail(this.#failure);
    this.#stop.abort(this.#failure);
    this.#wake?.();
  }
}

type Body = AsyncIterable<Uint8Array>;

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
