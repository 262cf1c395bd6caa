/**
 * Cuts chunks into headers and bodies. No other file needs to know where chunks end.
 *
 * @module
 */

import type { Document } from "./document.ts";
import { Body, In } from "./grammar.ts";
import { KeptBytes } from "./kept_bytes.ts";
import type { MpackLimits } from "./limits.ts";
import { PREFIXED_ID_BYTES } from "./object_id.ts";
import { trailing } from "./refusals.ts";
import { headerBytes, MAX_HEADER_BYTES } from "./token.ts";
import type { DecoderState } from "./types.ts";
import { Value } from "./value.ts";

/** The longest body that is kept. */
function maxKeptBytes(limits: MpackLimits): number {
  const { maxKeyBytes, maxPathBytes, maxMessageBytes, maxAnnotationBytes } = limits;
  return Math.max(
    maxKeyBytes,
    maxPathBytes,
    maxMessageBytes,
    maxAnnotationBytes,
    PREFIXED_ID_BYTES,
  );
}

/** Reads a document's values from chunks of any length. */
export class ValueReader {
  /** Bytes read so far. */
  offsetBytes = 0;
  readonly #document: Document;
  readonly #value: Value;
  /** The first bytes of a header that the last chunk cut. */
  readonly #header = new KeptBytes(MAX_HEADER_BYTES);

  constructor(document: Document, options: { limits: MpackLimits; state?: DecoderState }) {
    const { limits, state } = options;
    this.#document = document;
    this.#value = new Value(maxKeptBytes(limits));
    if (!state) return;
    this.offsetBytes = state.offsetBytes;
    this.#header.load(state.kept.header);
    this.#value.load(state);
  }

  /** Reads the next chunk, which is not kept. */
  read(chunk: Uint8Array): void {
    const document = this.#document, value = this.#value, end = chunk.length;
    const base = this.offsetBytes;
    // Most chunks of a large content lie inside one body.
    if (end < value.bodyLeft) {
      this.#readBody(chunk, 0);
      this.offsetBytes = base + end;
      return;
    }
    const { containers } = document;
    let at = this.#header.sizeBytes > 0 ? this.#finishHeader(chunk) : 0;
    while (at < end) {
      if (value.bodyLeft > 0) {
        at = this.#readBody(chunk, at);
        continue;
      }
      if (containers.isWhole) throw trailing(base + at);
      if (containers.kind === In.Objects) {
        const begin = at;
        at = document.wholeObjects(value, chunk, at, base);
        if (at > begin) continue;
      } else if (containers.kind === In.Manifest) {
        const begin = at;
        if (containers.expectsKey) at = document.wholeEntries(chunk, at, base);
        if (at > begin) continue;
      } else if (containers.kind >= In.Array) {
        const begin = at;
        at = document.wholeValues(chunk, at, base);
        if (at > begin) continue;
      }
      at = this.#readHeader(chunk, at);
    }
    this.offsetBytes = base + end;
  }

  /** Bytes kept of the value being read. */
  get keptBytes(): number {
    return this.#value.kept.sizeBytes;
  }

  /** The value being read, and the bytes kept of it. */
  save(): Pick<DecoderState, "offsetBytes" | "value"> & { header: string; captured: string } {
    const { offsetBytes, body, bodyLeft, kept } = this.#value, header = this.#header;
    return {
      offsetBytes: this.offsetBytes,
      value: {
        offsetBytes,
        body,
        bodyLeft,
        headerBytes: header.sizeBytes,
        capturedBytes: kept.sizeBytes,
      },
      header: header.save(),
      captured: kept.save(),
    };
  }

  /** Reads the header at `at`, or keeps the part that is there. Returns where it stopped. */
  #readHeader(chunk: Uint8Array, at: number): number {
    const end = at + headerBytes(chunk[at]);
    if (end > chunk.length) {
      this.#header.push(chunk, at, chunk.length);
      return chunk.length;
    }
    this.#value.header.read(chunk, at);
    this.#headerEnds(this.offsetBytes + end);
    return end;
  }

  /** Completes a header that the last chunk cut. Returns where it stopped. */
  #finishHeader(chunk: Uint8Array): number {
    const header = this.#header, needed = headerBytes(header.bytes[0]);
    const end = Math.min(needed - header.sizeBytes, chunk.length);
    header.push(chunk, 0, end);
    if (header.sizeBytes < needed) return end;
    this.#value.header.read(header.bytes, 0);
    header.clear();
    this.#headerEnds(this.offsetBytes + end);
    return end;
  }

  #headerEnds(endBytes: number): void {
    const document = this.#document, value = this.#value;
    value.offsetBytes = endBytes - value.header.headerBytes;
    value.endBytes = endBytes;
    document.header(value);
    // An empty body ends now: no chunk may follow.
    if (value.body !== Body.None && value.bodyLeft === 0) document.bodyEnds(value);
  }

  /** Reads the part of the body that is there. Returns where it stopped. */
  #readBody(chunk: Uint8Array, at: number): number {
    const document = this.#document, value = this.#value;
    const end = Math.min(at + value.bodyLeft, chunk.length);
    document.bodyBytes(value, chunk, at, end);
    value.bodyLeft -= end - at;
    value.endBytes = this.offsetBytes + end;
    if (value.bodyLeft === 0) document.bodyEnds(value);
    return end;
  }
}
