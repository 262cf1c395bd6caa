/**
 * The value being read, of which a chunk may hold any part.
 *
 * @module
 */

import { Body } from "./grammar.ts";
import { KeptBytes } from "./kept_bytes.ts";
import { BARE_ID_BYTES, isIdAt, PREFIXED_ID_BYTES } from "./object_id.ts";
import { badId, badKey } from "./refusals.ts";
import { TokenReader, Type } from "./token.ts";
import type { DecoderState } from "./types.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A value's header, its place in the pack, and what becomes of its body. Used again and again. */
export class Value {
  /** Its header. */
  readonly header = new TokenReader();
  /** First byte of its header, counted from the start of the pack. */
  offsetBytes = 0;
  /** Where the part of it that was read ends. */
  endBytes = 0;
  /** What its body is for. */
  body: Body = Body.None;
  /** Bytes of its body still to come. */
  bodyLeft = 0;
  /** Of a body that is kept, the bytes so far. */
  readonly kept: KeptBytes;

  /** Starts with none; a key may have `maxKeyBytes` bytes. */
  constructor(maxKeyBytes: number) {
    this.kept = new KeptBytes(Math.max(maxKeyBytes, PREFIXED_ID_BYTES));
  }

  /** Goes on inside the value in which `state` was saved. */
  load({ value, kept }: DecoderState): void {
    this.offsetBytes = value.offsetBytes;
    this.body = value.body;
    this.bodyLeft = value.bodyLeft;
    this.kept.load(kept.captured);
  }

  /** Says what the body that follows is for. */
  startBody(body: Body, sizeBytes: number): void {
    this.body = body;
    this.bodyLeft = sizeBytes;
    this.kept.clear();
  }

  /** Starts a body that has to be an object id. */
  startId(body: Body): void {
    const { type, length } = this.header;
    const isLength = length === PREFIXED_ID_BYTES || length === BARE_ID_BYTES;
    if (type !== Type.Str || !isLength) throw badId(this.offsetBytes);
    this.startBody(body, length);
  }

  /** Throws unless the bytes kept are an object id. */
  checkKeptId(): void {
    if (!isIdAt(this.kept.bytes, this.kept.at, this.kept.sizeBytes)) throw badId(this.offsetBytes);
  }

  /** The bytes kept as a key. */
  keptText(): string {
    try {
      return UTF8.decode(this.kept.view());
    } catch (cause) {
      throw badKey(this.offsetBytes, cause);
    }
  }
}
