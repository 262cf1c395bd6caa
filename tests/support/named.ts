/**
 * What a pack names and holds, by a decoder that is not ours.
 *
 * @module
 */

import { decode } from "@msgpack/msgpack";

interface Decoded {
  readonly snapshots?: {
    manifest?: Record<string, string>;
    delta_add?: Record<string, string>;
  }[];
  readonly objects?: { object_id: string }[];
}

/** The ids in a pack's manifests, those of its objects, and how many manifest entries there are. */
export function readNamed(bytes: Uint8Array) {
  const pack = decode(bytes) as Decoded;
  const entries = (pack.snapshots ?? []).flatMap(({ manifest, delta_add }) =>
    Object.values({ ...manifest }).concat(Object.values({ ...delta_add }))
  );
  const held = new Set((pack.objects ?? []).map(({ object_id }) => object_id));
  return { named: new Set(entries), held, entries: entries.length };
}
