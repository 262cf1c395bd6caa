import { openNativeCore } from "../../hash/engine.ts";

const DIGEST_CHARACTERS = 64;
const SCRATCH_BYTES = 64 * 1024;

/**
 * The digest that names a snapshot, made of the bytes of its entries as they lie in a record, without
 * a string for each. It is only that if the entries are sorted.
 */
export class RawManifestHash {
  readonly #core = openNativeCore();
  #scratch = new Uint8Array(SCRATCH_BYTES);
  #at = 0;
  /** Where the last path is in the scratch bytes. */
  #pathAt = 0;
  #pathEnd = -1;
  #isSorted = true;

  /** Whether each path came after the one before it. */
  get isSorted(): boolean {
    return this.#isSorted;
  }

  /** Hashes the next entry. */
  add(bytes: Uint8Array, pathAt: number, pathEnd: number, idEnd: number): void {
    if (!this.#isSorted) return;
    const isFirst = this.#pathEnd < 0;
    if (!isFirst) this.#isSorted = this.#isAfterLast(bytes, pathAt, pathEnd);
    const needed = pathEnd - pathAt + DIGEST_CHARACTERS + 2;
    if (this.#at + needed > this.#scratch.length) this.#makeRoom(needed);
    const scratch = this.#scratch;
    let at = this.#at;
    if (!isFirst) scratch[at++] = 0;
    this.#pathAt = at;
    for (let i = pathAt; i < pathEnd; i++) scratch[at++] = bytes[i];
    this.#pathEnd = at;
    scratch[at++] = 0;
    for (let i = idEnd - DIGEST_CHARACTERS; i < idEnd; i++) scratch[at++] = bytes[i];
    this.#at = at;
  }

  /** 64 lower-case hex digits; of no use if the entries were not sorted. */
  digest(): string {
    this.#core.update(this.#scratch.subarray(0, this.#at));
    return this.#core.digest();
  }

  #isAfterLast(bytes: Uint8Array, from: number, to: number): boolean {
    const scratch = this.#scratch, end = this.#pathEnd;
    let at = this.#pathAt;
    while (at < end && from < to && bytes[from] === scratch[at]) {
      at++;
      from++;
    }
    // The last path is the beginning of this one, or they differ here.
    return at === end ? from < to : from < to && bytes[from] > scratch[at];
  }

  #makeRoom(needed: number): void {
    this.#core.update(this.#scratch.subarray(0, this.#at));
    this.#at = 0;
    if (needed > this.#scratch.length) this.#scratch = new Uint8Array(2 * needed);
  }
}
