/**
 * The mpack decoder alone: chunks of bytes in, the place of each object out.
 *
 * It needs no database, no store, no permission and no Deno, and it keeps no content.
 *
 * @example List the objects of a pack
 * ```ts
 * import { MpackDecoder, objectIdsOf } from "@mpackd/mpackd/decoder";
 * import assert from "node:assert/strict";
 *
 * const decoder = new MpackDecoder();
 * const found: string[] = [];
 * const file = await Deno.open("tests/corpus/samples/prefixed.mpack");
 * for await (const chunk of file.readable) {
 *   decoder.write(chunk);
 *   const objects = decoder.take(), { contentOffsets, sizesBytes } = objects;
 *   objectIdsOf(objects).forEach((id, i) => found.push(`${id} ${contentOffsets[i]} ${sizesBytes[i]}`));
 * }
 * decoder.end(); // throws if the document is not whole
 * assert.equal(found.length, decoder.counts.objects);
 * ```
 *
 * @module
 */

export { InvalidMpackError, type MpackErrorCode } from "./src/errors.ts";
export type { RecordHasher, ResumableHash } from "./src/lib/record_hasher.ts";
export type {
  BranchHead,
  CommitRecord,
  PackRecords,
  RecordLocation,
  SnapshotRecord,
  TagRecord,
} from "./src/lib/records.ts";
export { type Encoding, type ObjectColumns, objectIdsOf } from "./src/lib/object_columns.ts";
export { DEFAULT_LIMITS, type MpackLimits } from "./src/stream/mpack/limits.ts";
export {
  type DecoderHooks,
  type DecoderState,
  type MpackCounts,
  MpackDecoder,
  type SectionSpan,
} from "./src/stream/mpack/mpack_decoder.ts";
