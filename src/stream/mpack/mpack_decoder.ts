/**
 * The mpack grammar over a stream of bytes: chunks in, object locations out.
 *
 * The decoder is synchronous and never holds a content: of a whole pack it keeps the stack of open
 * containers, at most one key or id, and the hashes of the keys of open maps. Where the chunks are
 * cut makes no difference to what it finds. docs/format.md has the rules it enforces; each rule's
 * error names the first byte of the value that broke it.
 *
 * In mpack/: `value_reader.ts` makes headers and bodies of chunks, `document.ts` knows what each of
 * them may be, `object_reader.ts` makes rows of objects.
 *
 * @see {@link https://github.com/msgpack/msgpack/blob/master/spec.md | MessagePack specification}
 * @module
 */

import { DEFAULT_LIMITS, type MpackLimits } from "./limits.ts";
import { Contents } from "./contents.ts";
import { Document } from "./document.ts";
import { ObjectReader } from "./object_reader.ts";
import { exceeded, truncated } from "./refusals.ts";
import { RowColumns } from "./row_columns.ts";
import type { DecoderState, MpackCounts, MpackHandler, ObjectRows, SectionSpan } from "./types.ts";
import { ValueReader } from "./value_reader.ts";

export { isObjectId } from "./object_id.ts";
export type { DecoderState, MpackCounts, MpackHandler, ObjectRows, SectionSpan } from "./types.ts";

const STATE_VERSION = 2;
/** A checkpoint is worth having while it is small: 8,192 open keys are about 160 KB of JSON. */
const MAX_SAVED_KEYS = 8192;

/**
 * Chunks up to this length are put together before they are decoded. Among small objects it takes a
 * third of the time where they are 1 byte long, half of it at 32; inside a large content, where
 * longer ones are passed over without being touched, the copy begins to cost more than it saves.
 */
const TINY_BYTES = 32;
/** As much is put together; several objects, so that most of them are read as a whole. */
const TOGETHER_BYTES = 4096;
const NONE = new Uint8Array(0);

/** Turns the bytes of one mpack into object locations. One instance decodes one pack. */
export class MpackDecoder {
  readonly #limits: MpackLimits;
  readonly #contents: Contents;
  readonly #rows: RowColumns;
  readonly #objects: ObjectReader;
  readonly #document: Document;
  readonly #values: ValueReader;
  /** Tiny chunks, put together and not yet decoded: the first `#waitingBytes` bytes. */
  #waiting = NONE;
  #waitingBytes = 0;
  /** How many more may be put to them. */
  #roomBytes = 0;
  /** What was found wrong while somebody looked; the next `write()`, `end()` or `save()` throws it. */
  #failure: { readonly error: unknown } | undefined;

  /**
   * Starts a decoder, or takes one up where `save()` left it.
   *
   * @param options.rows Whether `take()` is going to be called. Default true.
   * @throws {RangeError} If `state` was saved by another version.
   */
  constructor(
    options: {
      limits?: Partial<MpackLimits>;
      handler?: MpackHandler;
      rows?: boolean;
      state?: DecoderState;
    } = {},
  ) {
    const { handler = {}, rows = true, state } = options;
    if (state && state.version !== STATE_VERSION) {
      throw new RangeError(
        `Cannot load a decoder state of version ${state.version}: this is version ${STATE_VERSION}`,
      );
    }
    const limits = this.#limits = options.limits
      ? { ...DEFAULT_LIMITS, ...options.limits }
      : DEFAULT_LIMITS;
    const contents = this.#contents = new Contents(state);
    this.#rows = new RowColumns(rows, state?.order);
    const objects = this.#objects = new ObjectReader({
      limits,
      handler,
      counts: contents.counts,
      rows: this.#rows,
      state,
    });
    this.#document = new Document({ limits, handler, contents, objects, state });
    this.#values = new ValueReader(this.#document, { maxKeyBytes: limits.maxKeyBytes, state });
  }

  /** Bytes taken so far: the offset in the pack of the next chunk's first byte. */
  get offsetBytes(): number {
    return this.#values.offsetBytes + this.#waitingBytes;
  }

  /** What was found so far. */
  get counts(): MpackCounts {
    this.#look();
    return this.#contents.counts;
  }

  /** The top map's values in the order they came. */
  get sections(): readonly SectionSpan[] {
    this.#look();
    return this.#contents.sections;
  }

  /** The deepest nesting met, the top map being 1. */
  get deepest(): number {
    this.#look();
    return this.#document.containers.deepest;
  }

  /** Whether each id so far was greater than the one before it: then none came twice. */
  get sortedUnique(): boolean {
    this.#look();
    return this.#rows.sortedUnique;
  }

  /**
   * How many objects `take()` would return at least. This does not make tiny chunks be decoded, so
   * that it can be asked after each of them.
   */
  get rowsReady(): number {
    return this.#rows.length;
  }

  /** The objects completed since the last call. (Throws nothing, even if those after them are bad.) */
  take(): ObjectRows {
    this.#look();
    return this.#rows.take();
  }

  /**
   * Decodes the next bytes of the pack. `chunk` is not kept. A tiny chunk after a tiny one may be
   * decoded later, some kilobytes at once: when a larger chunk comes, or somebody calls `end()`,
   * `take()`, `save()` or a getter other than `offsetBytes` and `rowsReady`. What is wrong with it is
   * then thrown by the next `write()`, `end()` or `save()`.
   *
   * @throws {InvalidMpackError} At the first byte that breaks a rule; the decoder is of no use after it.
   */
  write(chunk: Uint8Array): void {
    const { length } = chunk;
    if (length > TINY_BYTES || length > this.#roomBytes) return this.#write(chunk);
    const waiting = this.#waiting, at = this.#waitingBytes;
    for (let i = 0; i < length; i++) waiting[at + i] = chunk[i];
    this.#waitingBytes = at + length;
    this.#roomBytes -= length;
  }

  /**
   * Says that the pack ends here.
   *
   * @throws {InvalidMpackError} `truncated` unless the document is whole.
   */
  end(): void {
    this.#decodeWaiting();
    if (!this.#document.containers.isWhole) throw truncated(this.offsetBytes);
  }

  /**
   * The decoder's state between two chunks, without the rows not yet taken; undefined inside a map
   * with so many keys that the record would be large (later chunks will do).
   *
   * @throws {InvalidMpackError} If tiny chunks that were not yet decoded break a rule.
   */
  save(): DecoderState | undefined {
    this.#decodeWaiting();
    if (this.#document.containers.openKeys > MAX_SAVED_KEYS) return undefined;
    const { header, captured, ...values } = this.#values.save();
    const { field, ...document } = this.#document.save();
    const { id, ...object } = this.#objects.save();
    return {
      version: STATE_VERSION,
      ...values,
      ...document,
      ...this.#contents.save(),
      object: { ...object, field },
      order: this.#rows.save(),
      kept: { header, captured, id },
    };
  }

  /** Takes a chunk that does not go to those that wait. */
  #write(chunk: Uint8Array): void {
    this.#decodeWaiting();
    const { maxPackBytes } = this.#limits, room = maxPackBytes - this.offsetBytes;
    if (chunk.length > room) {
      // What is wrong before the limit is blamed first, however the chunks are cut.
      this.#values.read(chunk.subarray(0, room));
      throw exceeded(this.#limits, "maxPackBytes", maxPackBytes + 1, maxPackBytes);
    }
    this.#values.read(chunk);
    if (chunk.length > TINY_BYTES) return;
    // This one may be the end of a large pack, or all of a tiny one. Those after it can wait.
    if (this.#waiting === NONE) this.#waiting = new Uint8Array(TOGETHER_BYTES);
    this.#roomBytes = Math.min(TOGETHER_BYTES, room - chunk.length);
  }

  #decodeWaiting(): void {
    if (this.#failure) throw this.#failure.error;
    const sizeBytes = this.#waitingBytes;
    this.#waitingBytes = this.#roomBytes = 0;
    if (sizeBytes > 0) this.#values.read(this.#waiting.subarray(0, sizeBytes));
  }

  /** Decodes what waits, for somebody who cannot be told that it is wrong. */
  #look(): void {
    const sizeBytes = this.#waitingBytes;
    if (sizeBytes === 0 || this.#failure) return;
    try {
      this.#decodeWaiting();
    } catch (error) {
      this.#failure = { error };
      // They were given, whatever became of them.
      this.#waitingBytes = sizeBytes;
    }
  }
}
