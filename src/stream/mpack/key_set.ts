/**
 * The keys that a map has had so far, eight bytes each.
 *
 * Only 64-bit hashes are kept: a manifest of 100,000 paths takes 2 MB at most. A duplicate is always
 * found. A valid pack is refused by mistake with a chance of about n² / 2⁶⁵: one in 10⁹ for that
 * manifest.
 *
 * @module
 */

/** Room for the 22 keys of a commit. */
const SMALLEST = 64;
/** `clear()` frees larger tables, so that one huge map does not slow every later one. */
const KEPT_SLOTS = 1024;
const NONE = new Int32Array(0);
/**
 * Unused tables of the smallest size, all zeros. A map takes one with its first key and returns it
 * at its end: allocating a table per map took longer than hashing a small map's keys.
 */
const SPARE: Int32Array<ArrayBuffer>[] = [];
/** More than a deep pack has open maps; 32 KiB in all. */
const MAX_SPARE = 64;

/** A growing set of 64-bit hashes: open addressing, linear probing, at most half full. */
export class KeySet {
  /** How many keys are in the set. */
  size = 0;
  #slots = 0;
  #table = NONE;

  /** Adds a hash, given as two 32-bit halves. Returns false if it was there already. */
  add(high: number, low: number): boolean {
    high |= 0;
    low |= 0;
    // Two zeros mark a free slot.
    if (high === 0 && low === 0) low = 1;
    if (2 * (this.size + 1) > this.#slots) this.#grow();
    if (!this.#insert(high, low)) return false;
    this.size++;
    return true;
  }

  clear(): void {
    if (this.size === 0) return;
    this.size = 0;
    const isSmallest = this.#slots === SMALLEST;
    if (this.#slots <= KEPT_SLOTS) {
      this.#table.fill(0);
      if (!isSmallest) return;
      if (SPARE.length < MAX_SPARE) SPARE.push(this.#table);
    }
    this.#slots = 0;
    this.#table = NONE;
  }

  /** All hashes as a list of halves, for a checkpoint. */
  save(): number[] {
    const halves: number[] = [];
    for (let at = 0; at < this.#table.length; at += 2) {
      const high = this.#table[at], low = this.#table[at + 1];
      if (high !== 0 || low !== 0) halves.push(high, low);
    }
    return halves;
  }

  /** Adds what `save()` returned. */
  load(halves: readonly number[]): void {
    for (let at = 0; at < halves.length; at += 2) this.add(halves[at], halves[at + 1]);
  }

  #insert(high: number, low: number): boolean {
    const table = this.#table, mask = this.#slots - 1;
    let slot = (high ^ Math.imul(low, 0x9e3779b1)) & mask;
    for (;;) {
      const at = 2 * slot;
      if (table[at] === 0 && table[at + 1] === 0) {
        table[at] = high;
        table[at + 1] = low;
        return true;
      }
      if (table[at] === high && table[at + 1] === low) return false;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const old = this.#table;
    if (old.length === 0) {
      this.#slots = SMALLEST;
      this.#table = SPARE.pop() ?? new Int32Array(2 * SMALLEST);
      return;
    }
    this.#slots *= 2;
    this.#table = new Int32Array(2 * this.#slots);
    for (let at = 0; at < old.length; at += 2) {
      if (old[at] !== 0 || old[at + 1] !== 0) this.#insert(old[at], old[at + 1]);
    }
  }
}
