import type { Branch } from "../db/history/branches.ts";
import { InvalidMpackError } from "../errors.ts";
import type { BlobReader } from "../stream/store/blob_store.ts";
import { ValueCursor } from "./records/value_cursor.ts";

/** More branches of one pack are not read. */
const MAX_BRANCHES = 100_000;

/**
 * Reads the branches that a pack names under `branch_heads`, and no further: a bundle has them at its
 * start.
 *
 * @param reader At the first byte of the pack.
 * @throws {InvalidMpackError} `malformed-msgpack`.
 */
export async function readBranchHeads(reader: BlobReader): Promise<Branch[]> {
  const { sizeBytes } = reader.stat;
  const cursor = new ValueCursor((into) => reader.read(into), sizeBytes);
  const heads: Branch[] = [];
  try {
    for (let left = await cursor.mapLength(); left > 0; left--) {
      if (await cursor.text() !== "branch_heads" || !await cursor.isMap()) await cursor.skip();
      else {
        for await (const page of cursor.textPairs()) {
          for (const [name, headCommitId] of page) {
            if (heads.length < MAX_BRANCHES) heads.push({ name, headCommitId });
          }
        }
        return heads;
      }
    }
  } catch (cause) {
    if (!(cause instanceof RangeError || cause instanceof TypeError)) throw cause;
    const message = `Cannot read the branches of the pack: ${cause.message}`;
    throw new InvalidMpackError("malformed-msgpack", message, { cause });
  }
  return heads;
}
