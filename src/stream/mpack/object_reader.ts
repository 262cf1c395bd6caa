/**
 * Reads the elements of `objects`: each has an id and a content.
 *
 * @module
 */

import type { MpackLimits } from "./limits.ts";
import type { Encoding } from "../../lib/object_columns.ts";
import { CommonObject } from "./common_object.ts";
import { Body } from "./grammar.ts";
import { KeptBytes } from "./kept_bytes.ts";
import { idText, isIdAt, PREFIXED_ID_BYTES } from "./object_id.ts";
import { badContent, encoded, exceeded, noContent, noId, unexpected } from "./refusals.ts";
import type { ColumnBuilder } from "./column_builder.ts";
import { Type } from "./token.ts";
import type { DecoderHooks, DecoderState, ObjectState } from "./types.ts";
import type { Value } from "./value.ts";

const ZSTD = new TextEncoder().encode("zstd");
const LENIENT_UTF8 = new TextDecoder();

/** What an object reader needs. */
interface ObjectReaderOptions {
  readonly limits: MpackLimits;
  readonly hooks: DecoderHooks;
  readonly counts: { objects: number };
  readonly rows: ColumnBuilder;
  readonly state?: DecoderState;
}

/** Reads objects value by value or, if they have the common layout, as a whole. */
export class ObjectReader {
  readonly #limits: MpackLimits;
  readonly #hooks: DecoderHooks;
  readonly #hasHooks: boolean;
  readonly #counts: { objects: number };
  readonly #rows: ColumnBuilder;
  readonly #common = new CommonObject();

  // The object being read.
  readonly #id = new KeptBytes(PREFIXED_ID_BYTES);
  #offsetBytes = 0;
  #contentOffset = -1;
  #contentBytes = 0;
  #encoding: Encoding | null = null;

  constructor({ limits, hooks, counts, rows, state }: ObjectReaderOptions) {
    this.#limits = limits;
    this.#hooks = hooks;
    this.#hasHooks = (hooks.contentStart ?? hooks.contentBytes ?? hooks.object) !== undefined;
    this.#counts = counts;
    this.#rows = rows;
    if (!state) return;
    this.#id.load(state.kept.id);
    this.#offsetBytes = state.object.offsetBytes;
    this.#contentOffset = state.object.contentOffset;
    this.#contentBytes = state.object.contentBytes;
    this.#encoding = state.object.encoding;
  }

  /** An object begins. */
  begin(value: Value): void {
    const { offsetBytes } = value, number = this.#counts.objects + 1;
    if (value.header.type !== Type.Map) {
      throw unexpected('an element of "objects"', "a map", offsetBytes);
    }
    if (number > this.#limits.maxObjects) {
      throw exceeded(this.#limits, "maxObjects", number, offsetBytes);
    }
    this.#id.clear();
    this.#offsetBytes = offsetBytes;
    this.#contentOffset = -1;
    this.#encoding = null;
  }

  /** The kept value is the id. */
  takeId(value: Value): void {
    value.checkKeptId();
    const { bytes, at, sizeBytes } = value.kept;
    this.#keepId(bytes, at, at + sizeBytes);
  }

  /** The kept value is the name of the content's encoding. */
  takeEncoding({ kept, offsetBytes }: Value): void {
    if (!kept.equals(ZSTD)) {
      throw encoded(JSON.stringify(LENIENT_UTF8.decode(kept.view())), offsetBytes);
    }
    this.#encoding = "zstd";
  }

  /** The value whose header was read is the content. */
  startContent(value: Value): void {
    const { type, length } = value.header;
    if (type !== Type.Bin) throw badContent(value.offsetBytes);
    if (length > this.#limits.maxContentBytes) {
      throw exceeded(this.#limits, "maxContentBytes", length, value.offsetBytes);
    }
    this.#startContent(value, value.endBytes, length);
  }

  /** The next bytes of the content are in `chunk` from `at` to `end`. */
  contentBytes(chunk: Uint8Array, at: number, end: number): void {
    this.#hooks.contentBytes?.(chunk.subarray(at, end));
  }

  /** The object has all its values. */
  end(): void {
    const id = this.#id, contentOffset = this.#contentOffset, contentBytes = this.#contentBytes;
    if (id.sizeBytes === 0) throw noId(this.#offsetBytes);
    if (contentOffset < 0) throw noContent(this.#offsetBytes);
    this.#counts.objects++;
    const encoding = this.#encoding;
    this.#rows.push(id.bytes, id.at, id.sizeBytes, contentOffset, contentBytes, encoding);
    this.#hooks.object?.(idText(id.view()), contentOffset, contentBytes, encoding);
  }

  /**
   * Reads up to `most` objects of the common layout from `at` in `chunk`, whose first byte is at
   * `base` in the pack. Returns where it stopped. If the chunk cuts a content, that is the content's
   * first byte, and the body has been started. Everything else is read value by value, which also
   * finds the right error.
   */
  readWhole(value: Value, chunk: Uint8Array, at: number, base: number, most: number): number {
    const common = this.#common, counts = this.#counts;
    const { maxObjects, maxContentBytes } = this.#limits;
    const last = Math.min(counts.objects + most, maxObjects);
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
    while (counts.objects < last && common.match(view, at)) {
      const { idAt, idBytes, contentAt, contentBytes } = common, contentOffset = base + contentAt;
      if (contentBytes > maxContentBytes) break;
      if (contentBytes > chunk.length - contentAt) {
        if (!isIdAt(chunk, idAt, idBytes)) break;
        this.#keepId(chunk, idAt, idAt + idBytes);
        this.#encoding = null;
        this.#startContent(value, contentOffset, contentBytes);
        return contentAt;
      }
      if (!this.#rows.pushIfId(view, idAt, idBytes, contentOffset, contentBytes)) break;
      counts.objects++;
      at = contentAt + contentBytes;
      if (this.#hasHooks) this.#announce(chunk, contentOffset);
    }
    return at;
  }

  /** The object being read, for the state. */
  save(): Omit<ObjectState, "field"> & { readonly id: string } {
    return {
      offsetBytes: this.#offsetBytes,
      idBytes: this.#id.sizeBytes,
      contentOffset: this.#contentOffset,
      contentBytes: this.#contentBytes,
      encoding: this.#encoding,
      id: this.#id.save(),
    };
  }

  /** Calls the hooks for the common object just matched. */
  #announce(chunk: Uint8Array, contentOffset: number): void {
    const hooks = this.#hooks, { idAt, idBytes, contentAt, contentBytes } = this.#common;
    const id = idText(chunk.subarray(idAt, idAt + idBytes));
    hooks.contentStart?.(contentBytes, contentOffset, id);
    if (contentBytes > 0) this.contentBytes(chunk, contentAt, contentAt + contentBytes);
    hooks.object?.(id, contentOffset, contentBytes, null);
  }

  #keepId(source: Uint8Array, at: number, end: number): void {
    this.#id.clear();
    this.#id.push(source, at, end);
  }

  #startContent(value: Value, contentOffset: number, contentBytes: number): void {
    this.#contentOffset = contentOffset;
    this.#contentBytes = contentBytes;
    this.#hooks.contentStart?.(contentBytes, contentOffset, this.#idSoFar());
    value.startBody(Body.Content, contentBytes);
  }

  #idSoFar(): string | undefined {
    return this.#id.sizeBytes === 0 ? undefined : idText(this.#id.view());
  }
}
