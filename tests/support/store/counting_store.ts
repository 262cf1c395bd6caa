/**
 * A store that records how it is read.
 *
 * @module
 */

import type { BlobStore, OpenOptions } from "../../../src/stream/store/blob_store.ts";

/** One call of `open()`. */
export interface Opened extends OpenOptions {
  /** The blob's key. */
  readonly key: string;
}

/** Returns the same store, and a list that grows with every `open()`. */
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
