/**
 * A store that notes what is asked of it.
 *
 * @module
 */

import type { BlobStore, OpenOptions } from "../../../src/stream/store/blob_store.ts";

/** One `open()`. */
export interface Opened extends OpenOptions {
  /** The blob. */
  readonly key: string;
}

/** The same store, and every `open()` of it so far. */
export function countOpens(store: BlobStore): { store: BlobStore; opens: Opened[] } {
  const opens: Opened[] = [];
  const open: BlobStore["open"] = (key, options) => {
    opens.push({ key, ...options });
    return store.open(key, options);
  };
  const counting = new Proxy(store, {
    get(target, name) {
      if (name === "open") return open;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { store: counting, opens };
}
