/**
 * The ghost guard, run over one whole mpack.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { GhostGuard } from "../db/publish/ghost_guard.ts";
import { recordHasher } from "../hash/record_hash.ts";
import { trimHeap } from "../lib/heap.ts";
import { objectIdsOf } from "../lib/object_columns.ts";
import { untilAborted } from "../lib/abort.ts";
import { DeltaVerifier } from "../stream/mpack/history/delta_verifier.ts";
import { DEFAULT_LIMITS, type MpackLimits } from "../stream/mpack/limits.ts";
import { MpackDecoder } from "../stream/mpack/mpack_decoder.ts";

/** Which mpack to check, for which repo. */
export interface GuardMpackOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The repo that the mpack would be pushed to. Only its refs count. */
  readonly repoId: string;
  /** The mpack's bytes, in chunks of any size. */
  readonly mpack: AsyncIterable<Uint8Array>;
  /** Limits of the mpack. Default: all defaults. */
  readonly limits?: Partial<MpackLimits>;
  /** Ids of each kind kept in memory; further ids go to the database. Default 20,000. */
  readonly maxIds?: number;
  /** Ends the reading with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called with each page of missing ids, sorted, and waited for. */
  readonly onMissing?: (objectIds: readonly string[]) => unknown;
}

/** What the check found. */
export interface GuardResult {
  /** Entries of all manifests. One id may be in many of them. */
  readonly manifest_entries: number;
  /** Objects in the mpack. */
  readonly objects: number;
  /** Ids that are neither in the mpack nor in the repo, each counted once. */
  readonly missing: number;
}

/**
 * Finds the ids that the snapshots name and that are neither in the mpack nor in the repo. Leaves
 * no rows behind. Memory does not grow with the mpack.
 *
 * A delta names what it adds; the ids of what is before it are looked at where they are named. Deltas
 * are verified as `index` does it, but for those to a snapshot outside the mpack.
 *
 * @throws {InvalidMpackError} If the bytes are not a valid mpack.
 * @throws {DatabaseError} If the database is unavailable.
 */
export async function guardMpack(options: GuardMpackOptions): Promise<GuardResult> {
  const { mpack, limits, signal, onMissing } = options;
  await using guard = new GhostGuard(options);
  const deltas = new DeltaVerifier({
    limits: { ...DEFAULT_LIMITS, ...limits },
    hasher: recordHasher,
  });
  let entries = 0;
  const decoder = new MpackDecoder({
    limits,
    history: recordHasher,
    hooks: {
      manifestId(objectId) {
        entries++;
        guard.name(objectId);
      },
      snapshot: (...snapshot) => deltas.snapshot(...snapshot),
    },
  });
  for await (const chunk of untilAborted(mpack, signal)) {
    decoder.write(chunk);
    guard.hold(objectIdsOf(decoder.take()));
    decoder.takeRecords();
    await deltas.drain();
    if (!guard.isDue) continue;
    await guard.flush();
    trimHeap();
  }
  decoder.end();
  const ghosts = await guard.ghosts();
  if (onMissing) {
    for await (const page of ghosts.pages()) {
      await onMissing(page);
      trimHeap();
    }
  }
  return { manifest_entries: entries, objects: decoder.counts.objects, missing: ghosts.count };
}
