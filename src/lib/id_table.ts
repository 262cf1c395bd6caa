/** Digest, and whether the id has its prefix. */
const ENTRY_BYTES = 33;
const DIGEST_BYTES = 32;
const PREFIX = "sha256:";

/**
 * Numbers ids from 0 in the order of their arrival, in 33 bytes each and 4 to 11 for a hash table: a
 * `Map` of strings takes four times as much, and a pack may have a million commits.
 *
 * The hash is seeded, because a pusher chooses the ids.
 */
export class IdTable {
  #bytes = new Uint8Array(64 * ENTRY_BYTES);
  /** Numbers plus one by hash; 0 is empty. */
  #slots = new Int32Array(128);
  #size = 0;
  readonly #seed = crypto.getRandomValues(new Int32Array(1))[0];

  /** How many ids it has. */
  get size(): number {
    return this.#size;
  }

  /**
   * The number of an id, which is added if it is new.
   *
   * @param id 64 lower-case hex digits, with or without `sha256:`.
   */
  add(id: string): number {
    this.#reserve();
    const at = this.#size * ENTRY_BYTES;
    this.#write(id, at);
    const slot = this.#slotOf(at);
    if (this.#slots[slot] !== 0) return this.#slots[slot] - 1;
    this.#slots[slot] = ++this.#size;
    return this.#size - 1;
  }

  /** The number of an id; -1 if it was not added. */
  find(id: string): number {
    this.#reserve();
    const at = this.#size * ENTRY_BYTES;
    this.#write(id, at);
    return this.#slots[this.#slotOf(at)] - 1;
  }

  /** The id of a number, as it was added. */
  id(number: number): string {
    const at = number * ENTRY_BYTES, digest = this.#bytes.subarray(at, at + DIGEST_BYTES).toHex();
    return this.#bytes[at + DIGEST_BYTES] === 1 ? PREFIX + digest : digest;
  }

  #write(id: string, at: number): void {
    const isPrefixed = id.startsWith(PREFIX);
    this.#bytes.subarray(at, at + DIGEST_BYTES)
      .setFromHex(isPrefixed ? id.slice(PREFIX.length) : id);
    this.#bytes[at + DIGEST_BYTES] = isPrefixed ? 1 : 0;
  }

  /** Where the entry at this place is, or may go. */
  #slotOf(at: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = this.#hash(at) & mask;; slot = (slot + 1) & mask) {
      const number = this.#slots[slot];
      if (number === 0 || this.#isEqual((number - 1) * ENTRY_BYTES, at)) return slot;
    }
  }

  #isEqual(one: number, other: number): boolean {
    for (let i = 0; i < ENTRY_BYTES; i++) {
      if (this.#bytes[one + i] !== this.#bytes[other + i]) return false;
    }
    return true;
  }

  /** Mixes the whole entry: murmur3's steps. */
  #hash(at: number): number {
    let hash = this.#seed;
    for (let i = 0; i < DIGEST_BYTES; i += 4) {
      const word = this.#bytes[at + i] | this.#bytes[at + i + 1] << 8 |
        this.#bytes[at + i + 2] << 16 | this.#bytes[at + i + 3] << 24;
      hash = Math.imul(hash ^ Math.imul(word, 0xcc9e2d51), 0x1b873593);
      hash ^= hash >>> 15;
    }
    return Math.imul(hash ^ this.#bytes[at + DIGEST_BYTES], 0x85ebca6b) >>> 1;
  }

  /** Makes room for one more entry, which is also the scratch of `find`. */
  #reserve(): void {
    if ((this.#size + 1) * ENTRY_BYTES > this.#bytes.length) {
      const grown = new Uint8Array(Math.ceil(this.#bytes.length / ENTRY_BYTES * 1.5) * ENTRY_BYTES);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (this.#size * 4 < this.#slots.length * 3) return;
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let number = 0; number < this.#size; number++) {
      this.#slots[this.#slotOf(number * ENTRY_BYTES)] = number + 1;
    }
  }
}
