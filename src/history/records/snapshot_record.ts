import { mapHeader, str } from "../../lib/msgpack_headers.ts";
import { comparePaths } from "../../lib/record_ids.ts";
import type { Manifest } from "../select/manifest_cache.ts";

/** Entries written together: about 60 KB. */
const ENTRIES_AT_ONCE = 500;

/** A snapshot whose record is written anew, with its whole manifest. */
export interface WholeSnapshot {
  readonly snapshotId: string;
  readonly createdAt: string;
  readonly manifest: Manifest;
}

/** Writes a snapshot's record. */
export function* snapshotRecord(
  { snapshotId, createdAt, manifest }: WholeSnapshot,
): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
  yield Uint8Array.from([
    ...mapHeader(3),
    ...str("snapshot_id"),
    ...str(snapshotId),
    ...str("created_at"),
    ...str(createdAt),
    ...str("manifest"),
    ...mapHeader(manifest.size),
  ]);
  const entries = [...manifest].sort(([one], [other]) => comparePaths(one, other));
  for (let at = 0; at < entries.length; at += ENTRIES_AT_ONCE) {
    const page = entries.slice(at, at + ENTRIES_AT_ONCE);
    yield Uint8Array.from(page.flatMap(([path, id]) => [...str(path), ...str(id)]));
  }
}

/** How many bytes `snapshotRecord()` writes. */
export function snapshotRecordBytes(snapshot: WholeSnapshot): number {
  let bytes = 0;
  for (const part of snapshotRecord(snapshot)) bytes += part.length;
  return bytes;
}
