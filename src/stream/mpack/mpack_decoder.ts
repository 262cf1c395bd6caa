/**
 * Decodes an mpack as it streams in: chunks in, object locations out.
 *
 * The decoder is synchronous and never holds a content. It keeps the stack of open containers, at
 * most one key or id, and the hashes of the keys of open maps. Where the input is cut into chunks
 * makes no difference. docs/format.md lists the rules; each error names the first byte of the value
 * that broke one.
 *
 * `value_reader.ts` cuts chunks into headers and bodies, `document.ts` knows which value may stand
 * where, `object_reader.ts` turns objects into rows.
 *
 * @see {@link https://github.com/msgpack/msgpack/blob/master/spec.md | MessagePack specification}
 * @module
 */

import type { ObjectColumns } from "../../lib/object_columns.ts";
import type { PackRecords } from "../../lib/records.ts";
import { DEFAULT_LIMITS, type MpackLimits } from "./limits.ts";
import { Contents } from "./contents.ts";
import { Document } from "./document.ts";
import { ObjectReader } from "./object_reader.ts";
import type { RecordHasher } from "../../lib/record_hasher.ts";
import { exceeded, truncated } from "./refusals.ts";
import { ColumnBuilder } from "./column_builder.ts";
import type { DecoderHooks, DecoderState, MpackCounts, SectionSpan } from "./types.ts";
import { ValueReader } from "./value_reader.ts";

export type { DecoderHooks, DecoderState, MpackCounts, SectionSpan } from "./types.ts";

const STATE_VERSION = 4;
/** Keeps checkpoints small: 8,192 open keys are about 160 KB of JSON. */
const MAX_SAVED_KEYS = 8192;
/** Of a record being read: twice as much in hex. */
const MAX_SAVED_BYTES = 64 * 1024;

/** Decodes one mpack. */
export class MpackDecoder {
  readonly #limits: MpackLimits;
  readonly #contents: Contents;
  readonly #rows: ColumnBuilder;
  readonly #objects: ObjectReader;
  readonly #document: Document;
  readonly #values: ValueReader;

  /**
   * Starts at the first byte, or where `save()` was called.
   *
   * @param options.rows Whether objects are kept for `take()`. Default true.
   * @param options.history Reads and checks commits, snapshots, tags and branch heads, and hashes them
   *   with this. Default: they are skipped.
   * @throws {RangeError} If `state` was saved by another version.
   */
  constructor(
    options: {
      limits?: Partial<MpackLimits>;
      hooks?: DecoderHooks;
      rows?: boolean;
      history?: RecordHasher;
      state?: DecoderState;
    } = {},
  ) {
    const { hooks = {}, rows = true, history: hasher, state } = options;
    if (state && state.version !== STATE_VERSION) {
      throw new RangeError(
        `Cannot load a decoder state of version ${state.version}: this is version ${STATE_VERSION}`,
      );
    }
    if (state && (state.history === undefined) !== (hasher === undefined)) {
      throw new RangeError("Cannot load a decoder state: only one of the two reads history");
    }
    const limits = this.#limits = options.limits
      ? { ...DEFAULT_LIMITS, ...options.limits }
      : DEFAULT_LIMITS;
    const contents = this.#contents = new Contents(state);
    this.#rows = new ColumnBuilder(rows, state?.order);
    const objects = this.#objects = new ObjectReader({
      limits,
      hooks,
      counts: contents.counts,
      rows: this.#rows,
      state,
    });
    this.#document = new Document({ limits, hooks, contents, objects, hasher, state });
    this.#values = new ValueReader(this.#document, { limits, state });
  }

  /** Bytes decoded so far: the offset in the pack of the next chunk's first byte. */
  get offsetBytes(): number {
    return this.#values.offsetBytes;
  }

  /** What was found so far. */
  get counts(): MpackCounts {
    return this.#contents.counts;
  }

  /** The top map's values in the order they came. */
  get sections(): readonly SectionSpan[] {
    return this.#contents.sections;
  }

  /** The deepest nesting met, the top map being 1. */
  get deepest(): number {
    return this.#document.containers.deepest;
  }

  /** Whether each id so far was greater than the one before it: then none came twice. */
  get sortedUnique(): boolean {
    return this.#rows.sortedUnique;
  }

  /** How many objects `take()` would return. */
  get rowsReady(): number {
    return this.#rows.length;
  }

  /** The objects completed since the last call. */
  take(): ObjectColumns {
    return this.#rows.take();
  }

  /** How many records `takeRecords()` would return. */
  get recordsReady(): number {
    return this.#document.history?.ready ?? 0;
  }

  /** About how many bytes of memory they take. */
  get recordBytesReady(): number {
    return this.#document.history?.readyBytes ?? 0;
  }

  /** The records completed since the last call; none unless history is read. */
  takeRecords(): PackRecords {
    const none = { commits: [], snapshots: [], tags: [], branchHeads: [] };
    return this.#document.history?.take() ?? none;
  }

  /**
   * Decodes the next bytes of the pack. `chunk` is not kept.
   *
   * @throws {InvalidMpackError} At the first byte that breaks a rule; the decoder is of no use after it.
   */
  write(chunk: Uint8Array): void {
    const { maxPackBytes } = this.#limits, roomBytes = maxPackBytes - this.offsetBytes;
    if (chunk.length <= roomBytes) return this.#values.read(chunk);
    // An error before the limit comes first, however the chunks are cut.
    this.#values.read(chunk.subarray(0, roomBytes));
    throw exceeded(this.#limits, "maxPackBytes", maxPackBytes + 1, maxPackBytes);
  }

  /**
   * Says that the pack ends here.
   *
   * @throws {InvalidMpackError} `truncated` unless the document is complete.
   */
  end(): void {
    if (!this.#document.containers.isWhole) throw truncated(this.offsetBytes);
  }

  /**
   * The decoder's state between two chunks, without the rows and records not yet taken. Undefined
   * inside a map with so many keys, or a record of such a length, that the state would be large: ask
   * again after a later chunk.
   */
  save(): DecoderState | undefined {
    const { containers: { openKeys, distinctKeys }, history } = this.#document;
    if (openKeys - distinctKeys > MAX_SAVED_KEYS) return undefined;
    if (history && history.keptBytes > MAX_SAVED_BYTES) return undefined;
    if (this.#values.keptBytes > MAX_SAVED_BYTES) return undefined;
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
}
