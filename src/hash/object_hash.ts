/**
 * Checks an object where it is read: do its bytes hash to its id?
 *
 * @module
 */

import { withPrefix } from "../lib/ids.ts";
import { openNativeCore } from "./engine.ts";

/** SHA-256 of one content. It is never resumed, so the fastest engine does it. */
export class ObjectHash {
  readonly #core = openNativeCore();

  update(bytes: Uint8Array): void {
    this.#core.update(bytes);
  }

  /** The content's id, with its prefix. Ends the hash. */
  digest(): string {
    return withPrefix(this.#core.digest());
  }
}
