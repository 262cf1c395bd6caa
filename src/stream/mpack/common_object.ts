/**
 * The layout of nearly all objects: `{object_id: str 8, content: bin}`, the two keys in this order,
 * each header as short as possible. Matching it as a whole takes a tenth of reading it by values.
 *
 * @module
 */

import { BARE_ID_BYTES, PREFIXED_ID_BYTES } from "./object_id.ts";

/** A map of two, the key `object_id`, and the first byte of a str 8: three words. */
const BEFORE_ID = words("\x82\xa9object_id\xd9");
/** The key `content`: two words. */
const BEFORE_CONTENT = words("\xa7content");
/** The most bytes before the content of such an object. */
const HEAD_BYTES = 12 + 1 + PREFIXED_ID_BYTES + 8 + 5;

/** Matches such an object and says where its parts lie. Instances are reused. */
export class CommonObject {
  /** First byte of the id; whether it is one is not checked yet. */
  idAt = 0;
  /** Length of the id. */
  idBytes = 0;
  /** First byte of the content. */
  contentAt = 0;
  /** Length of the content. */
  contentBytes = 0;

  /** Whether such an object begins at `at` and all bytes before its content are in `chunk`. */
  match(chunk: DataView, at: number): boolean {
    if (chunk.byteLength - at < HEAD_BYTES) return false;
    const isBeforeId = chunk.getInt32(at) === BEFORE_ID[0] &&
      chunk.getInt32(at + 4) === BEFORE_ID[1] && chunk.getInt32(at + 8) === BEFORE_ID[2];
    if (!isBeforeId) return false;
    const idBytes = chunk.getUint8(at + 12);
    if (idBytes !== PREFIXED_ID_BYTES && idBytes !== BARE_ID_BYTES) return false;
    this.idAt = at + 13;
    this.idBytes = idBytes;
    at += 13 + idBytes;
    const isBeforeContent = chunk.getInt32(at) === BEFORE_CONTENT[0] &&
      chunk.getInt32(at + 4) === BEFORE_CONTENT[1];
    if (!isBeforeContent) return false;
    switch (chunk.getUint8(at + 8)) {
      case 0xc4:
        this.contentBytes = chunk.getUint8(at + 9);
        this.contentAt = at + 10;
        return true;
      case 0xc5:
        this.contentBytes = chunk.getUint16(at + 9);
        this.contentAt = at + 11;
        return true;
      case 0xc6:
        this.contentBytes = chunk.getUint32(at + 9);
        this.contentAt = at + 13;
        return true;
      default:
        return false;
    }
  }
}

/** The characters as bytes, four to a number. */
function words(text: string): number[] {
  const view = new DataView(Uint8Array.from(text, (byte) => byte.charCodeAt(0)).buffer);
  return Array.from({ length: text.length / 4 }, (_, i) => view.getInt32(4 * i));
}
