import { openNativeCore } from "../../hash/engine.ts";

const DIGEST_CHARACTERS = 64;
const SCRATCH_BYTES = 64 * 1024;

/**
 * The digests that name snapshots, made of the bytes of their entries as they lie in records, without
 * a string for each. A digest is only that if the entries are sorted.
 */
export class RawManifestHash {
  #core = openNativeCore();
  #scratch = new Uint8Array(SCRATCH_BYTES);
  #view = new DataView(this.#scratch.buffer);
  #at = 0;
  /** Where the last path is in the scratch bytes. */
  #pathAt = 0;
  #pathEnd = -1;
  #isSorted = true;

  /** Whether each path came after the one before it. */
  get isSorted(): boolean {
    return this.#isSorted;
  }

  /** Begins another manifest. */
  reset(): void {
    this.#core = openNativeCore();
    this.#at = 0;
    this.#pathEnd = -1;
    this.#isSorted = true;
  }

  /** Hashes the next entry, whose id ends at `idEnd`. */
  add(bytes: DataView, pathAt: number, pathEnd: number, idEnd: number): void {
    if (!this.#isSorted) return;
    const isFirst = this.#pathEnd < 0;
    if (!isFirst) this.#isSorted = this.#isAfterLast(bytes, pathAt, pathEnd);
    const needed = pathEnd - pathAt + DIGEST_CHARACTERS + 2;
    if (this.#at + needed > this.#scratch.length) this.#makeRoom(needed);
    const scratch = this.#scratch;
    let at = this.#at;
    if (!isFirst) scratch[at++] = 0;
    this.#pathAt = at;
    for (let i = pathAt; i < pathEnd; i++) scratch[at++] = bytes.getUint8(i);
    this.#pathEnd = at;
    scratch[at++] = 0;
    const view = this.#view;
    for (let i = idEnd - DIGEST_CHARACTERS; i < idEnd; i += 4, at += 4) {
      view.setUint32(at, bytes.getUint32(i));
    }
    this.#at = at;
  }

  /** 64 lower-case hex digits; of no use if the entries were not sorted. */
  digest(): string {
    this.#core.update(this.#scratch.subarray(0, this.#at));
    return this.#core.digest();
  }

  #isAfterLast(bytes: DataView, from: number, to: number): boolean {
    const scratch = this.#scratch, end = this.#pathEnd;
    let at = this.#pathAt;
    while (at < end && from < to && bytes.getUint8(from) === scratch[at]) {
      at++;
      from++;
    }
    // The last path is the beginning of this one, or they differ here.
    return at === end ? from < to : from < to && bytes.getUint8(from) > scratch[at];
  }

  #makeRoom(needed: number): void {
    this.#core.update(this.#scratch.subarray(0, this.#at));
    this.#at = 0;
    if (needed <= this.#scratch.length) return;
    this.#scratch = new Uint8Array(2 * needed);
    this.#view = new DataView(this.#scratch.buffer);
  }
}
