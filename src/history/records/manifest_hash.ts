import { openNativeCore } from "../../hash/engine.ts";
import { digestOf } from "../../lib/ids.ts";

const UTF8 = new TextEncoder();
/** Entries encoded together: about 60 KB. */
const ENTRIES_AT_ONCE = 500;

/** The digest that names a snapshot: of its entries `path NUL object id`, joined by NUL. */
export class ManifestHash {
  readonly #core = openNativeCore();
  #isFirst = true;

  /** Hashes the next entries, which must be sorted. */
  update(entries: readonly (readonly [path: string, objectId: string])[]): void {
    for (let at = 0; at < entries.length; at += ENTRIES_AT_ONCE) {
      let text = "";
      for (const [path, objectId] of entries.slice(at, at + ENTRIES_AT_ONCE)) {
        text += this.#isFirst ? "" : "\0";
        text += path + "\0" + digestOf(objectId);
        this.#isFirst = false;
      }
      this.#core.update(UTF8.encode(text));
    }
  }

  /** 64 lower-case hex digits. */
  digest(): string {
    return this.#core.digest();
  }
}
