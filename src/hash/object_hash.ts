/**
 * The check at the point of use: do these bytes hash to the id they are filed under?
 *
 * @module
 */

import { openNativeCore } from "./engine.ts";

const PREFIX = "sha256:";

/** SHA-256 of one object's content. One content is never resumed, so the fastest engine does it. */
export class ObjectHash {
  readonly #core = openNativeCore();

  /** Hashes more of the content. */
  update(bytes: Uint8Array): void {
    this.#core.update(bytes);
  }

  /** The id that belongs to the content, with its prefix. Nothing may follow. */
  digest(): string {
    return PREFIX + this.#core.digest();
  }
}

/** Whether two ids name the same content: `sha256:` before the digits makes no difference. */
export function isSameId(one: string, other: string): boolean {
  return digitsOf(one) === digitsOf(other);
}

function digitsOf(objectId: string): string {
  return objectId.startsWith(PREFIX) ? objectId.slice(PREFIX.length) : objectId;
}
