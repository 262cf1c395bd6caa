import { comparePaths } from "../lib/record_ids.ts";
import type { ManifestEntry } from "./read_manifest.ts";

/** One file that two snapshots do not have alike. */
export interface FileChange {
  /** The path. */
  readonly path: string;
  /** The object in the first snapshot; undefined if the file was added. */
  readonly before: string | undefined;
  /** The object in the second snapshot; undefined if the file was removed. */
  readonly after: string | undefined;
}

/** Compares two manifests, both sorted by path, while they are read. */
export async function* diffManifests(
  before: AsyncIterable<ManifestEntry>,
  after: AsyncIterable<ManifestEntry>,
): AsyncGenerator<FileChange, void, undefined> {
  const old = before[Symbol.asyncIterator](), young = after[Symbol.asyncIterator]();
  try {
    let one = await old.next(), other = await young.next();
    while (!one.done || !other.done) {
      const order = one.done ? 1 : other.done ? -1 : comparePaths(one.value[0], other.value[0]);
      const from = order <= 0 ? one.value as ManifestEntry : undefined;
      const to = order >= 0 ? other.value as ManifestEntry : undefined;
      if (from?.[1] !== to?.[1]) {
        yield { path: (from ?? to)![0], before: from?.[1], after: to?.[1] };
      }
      if (order <= 0) one = await old.next();
      if (order >= 0) other = await young.next();
    }
  } finally {
    await old.return?.();
    await young.return?.();
  }
}
