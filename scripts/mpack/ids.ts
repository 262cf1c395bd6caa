/**
 * Object ids by number, and the order in which a pack writes its objects.
 *
 * @module
 */

import type { Contents } from "./contents.ts";

const ID_BYTES = 32;
const UTF8 = new TextEncoder();
const HEX_DIGITS = UTF8.encode("0123456789abcdef");

/** The ids of a pack's objects, 32 bytes of memory each, computed when first asked for. */
export class ObjectIds {
  readonly #contents: Contents;
  readonly #digests: Uint8Array;
  readonly #isDone: Uint8Array;
  readonly #text: Uint8Array;

  /** Makes room for the ids of `count` objects. */
  constructor(contents: Contents, options: { count: number; bare: boolean }) {
    this.#contents = contents;
    this.#digests = new Uint8Array(options.count * ID_BYTES);
    this.#isDone = new Uint8Array(options.count);
    this.#text = UTF8.encode((options.bare ? "" : "sha256:") + "0".repeat(2 * ID_BYTES));
  }

  /**
   * The id of object `index` as it is written: 64 hex digits, `sha256:` before them unless bare.
   * Good until the next call, which writes over it.
   */
  text(index: number): Uint8Array {
    this.#compute(index);
    const [text, digests] = [this.#text, this.#digests];
    let to = text.length - 2 * ID_BYTES;
    for (let at = index * ID_BYTES; at < (index + 1) * ID_BYTES; at++) {
      text[to++] = HEX_DIGITS[digests[at] >> 4];
      text[to++] = HEX_DIGITS[digests[at] & 15];
    }
    return text;
  }

  /**
   * The numbers 0 to `count - 1` sorted by id.
   *
   * Each id's first four bytes and its number make one 64-bit key, so that the sort needs no
   * comparator (3 million: well under a second); equal beginnings are put right afterwards.
   */
  sorted(count: number): Uint32Array {
    const view = new DataView(this.#digests.buffer);
    const halves = new Uint32Array(count * 2);
    for (let i = 0; i < count; i++) {
      this.#compute(i);
      halves[2 * i] = i;
      halves[2 * i + 1] = view.getUint32(i * ID_BYTES);
    }
    new BigUint64Array(halves.buffer).sort();
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      let at = i;
      const index = halves[2 * i];
      // Insertion among equal beginnings: runs are one or two long, so it costs nothing.
      while (
        at > 0 && halves[2 * at - 1] === halves[2 * i + 1] && this.#isLess(index, order[at - 1])
      ) {
        order[at] = order[at - 1];
        at--;
      }
      order[at] = index;
    }
    return order;
  }

  #compute(index: number): void {
    if (this.#isDone[index] === 1) return;
    this.#digests.subarray(index * ID_BYTES, (index + 1) * ID_BYTES)
      .setFromHex(this.#contents.digest(index));
    this.#isDone[index] = 1;
  }

  #isLess(left: number, right: number): boolean {
    const digests = this.#digests;
    const [a, b] = [left * ID_BYTES, right * ID_BYTES];
    let i = 0;
    while (i < ID_BYTES - 1 && digests[a + i] === digests[b + i]) i++;
    return digests[a + i] < digests[b + i];
  }
}
