/**
 * Writes a commit's record as it was pushed, with the annotations that later pushes have added.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import type { Annotations } from "../../db/history/commits.ts";
import { mapHeader, str } from "../../lib/msgpack_headers.ts";
import type { ValueCursor } from "./value_cursor.ts";

const ANNOTATIONS = ["metadata", "reviewed_by", "test_runs"] as const;

/** A part of the record to copy, or bytes to write. */
export type RecordPart =
  | { readonly fromBytes: number; readonly toBytes: number }
  | Uint8Array<ArrayBuffer>;

/**
 * Plans the record: its other fields are copied, the annotations are written anew.
 *
 * @param cursor At the record's start; it is read to the end.
 */
export async function annotatedRecord(
  cursor: ValueCursor,
  merged: Annotations,
): Promise<RecordPart[]> {
  const parts: RecordPart[] = [];
  let left = await cursor.mapLength(), kept = 0;
  let fromBytes = cursor.positionBytes;
  for (; left > 0; left--) {
    const keyAt = cursor.positionBytes, key = await cursor.text();
    await cursor.skip();
    if (!ANNOTATIONS.includes(key as "metadata")) {
      kept++;
      continue;
    }
    parts.push({ fromBytes, toBytes: keyAt });
    fromBytes = cursor.positionBytes;
  }
  parts.push({ fromBytes, toBytes: cursor.positionBytes });
  const added: number[] = [];
  for (const name of ANNOTATIONS) {
    if (merged[name] === undefined) continue;
    added.push(...str(name), ...encode(merged[name]));
    kept++;
  }
  return [Uint8Array.from(mapHeader(kept)), ...parts, Uint8Array.from(added)];
}
