const DIGITS = 64;
/** Ids of longer manifests are not remembered from here on. */
const MAX_IDS = 65_536;

/**
 * The ids of the manifest read last, by their place in it: most files are the same in the next one.
 * To compare takes a tenth of looking an id up in a set.
 */
export class RecentIds {
  /** The digits of each id, and how long it was. */
  #digits = new DataView(new ArrayBuffer(0));
  #lengths = new Uint8Array(0);

  /** Whether the last manifest had this id as its `nth`; remembers it. */
  isSame(bytes: DataView, nth: number, from: number, to: number): boolean {
    if (nth >= MAX_IDS || to - from < DIGITS) return false;
    if (nth >= this.#lengths.length) this.#grow(nth);
    const digits = this.#digits, length = to - from & 0xff;
    let at = nth * DIGITS, p = to - DIGITS, isSame = this.#lengths[nth] === length;
    this.#lengths[nth] = length;
    for (; p < to; p += 4, at += 4) {
      const four = bytes.getUint32(p);
      if (isSame && digits.getUint32(at) === four) continue;
      isSame = false;
      digits.setUint32(at, four);
    }
    return isSame;
  }

  #grow(nth: number): void {
    const size = Math.min(MAX_IDS, Math.max(256, 2 * nth));
    const digits = new Uint8Array(size * DIGITS), lengths = new Uint8Array(size);
    digits.set(new Uint8Array(this.#digits.buffer));
    lengths.set(this.#lengths);
    this.#digits = new DataView(digits.buffer);
    this.#lengths = lengths;
  }
}
