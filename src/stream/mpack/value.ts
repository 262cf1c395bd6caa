/**
 * The value being read; a chunk may hold any part of it.
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

/** A value: its header, its place in the pack, and what is done with its body. Reused. */
export class Value {
  readonly header = new TokenReader();
  /** First byte of its header in the pack. */
  offsetBytes = 0;
  /** Where the part that was read ends. */
  endBytes = 0;
  body: Body = Body.None;
  /** Bytes of its body still to come. */
  bodyLeft = 0;
  /** The bytes so far of a body that is kept. */
  readonly kept: KeptBytes;

  /** Never keeps more than `maxKeptBytes` of a body. */
  constructor(maxKeptBytes: number) {
    this.kept = new KeptBytes(maxKeptBytes);
  }

  load({ value, kept }: DecoderState): void {
    this.offsetBytes = value.offsetBytes;
    this.body = value.body;
    this.bodyLeft = value.bodyLeft;
    this.kept.load(kept.captured);
  }

  startBody(body: Body, sizeBytes: number): void {
    this.body = body;
    this.bodyLeft = sizeBytes;
    this.kept.clear();
  }

  /** Starts a body that must be an object id. */
  startId(body: Body): void {
    const { type, length } = this.header;
    const isLength = length === PREFIXED_ID_BYTES || length === BARE_ID_BYTES;
    if (type !== Type.Str || !isLength) throw badId(this.offsetBytes);
    this.startBody(body, length);
  }

  /** Throws unless the kept bytes are an object id. */
  checkKeptId(): void {
    if (!isIdAt(this.kept.bytes, this.kept.at, this.kept.sizeBytes)) throw badId(this.offsetBytes);
  }

  /** The kept bytes as text. */
  keptText(): string {
    try {
      return UTF8.decode(this.kept.view());
    } catch (cause) {
      throw badKey(this.offsetBytes, cause);
    }
  }
}
