/**
 * The ghost guard over one pack from start to end.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { GhostGuard } from "../db/publish/ghost_guard.ts";
import { trimHeap } from "../lib/heap.ts";
import { untilAborted } from "../lib/abort.ts";
import { MpackDecoder } from "../stream/mpack/mpack_decoder.ts";
import type { MpackLimits } from "../stream/mpack/limits.ts";

/** Which pack to guard, for which repo. */
export interface GuardMpackOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The repo the pack would be pushed to; only its refs count. */
  readonly repoId: string;
  /** The pack's bytes, however they are cut. */
  readonly pack: AsyncIterable<Uint8Array>;
  /** What a pack may be like. Default: the usual limits. */
  readonly limits?: Partial<MpackLimits>;
  /** How many ids of each kind stay in memory; more go to the database. Default 20,000. */
  readonly maxIds?: number;
  /** Ends the reading with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called with each page of missing ids, sorted. */
  readonly onMissing?: (objectIds: readonly string[]) => void;
}

/** What a pack names and does not bring. */
export interface GuardResult {
  /** Entries of all manifests; one id may stand in many. */
  readonly manifest_entries: number;
  /** Objects in the pack. */
  readonly objects: number;
  /** Ids that are neither in the pack nor the repo's, each counted once. */
  readonly missing: number;
}

/**
 * Finds the ids that a pack's snapshots name and that are neither in it nor in the repo. Changes
 * nothing that anybody sees; memory does not grow with the pack.
 *
 * @throws {InvalidMpackError} If the pack is none.
 * @throws {DatabaseError} If the database is unavailable.
 */
export async function guardMpack(options: GuardMpackOptions): Promise<GuardResult> {
  const { pack, limits, signal, onMissing } = options;
  await using guard = new GhostGuard(options);
  let entries = 0;
  const decoder = new MpackDecoder({
    limits,
    handler: {
      manifestId(objectId) {
        entries++;
        guard.name(objectId);
      },
    },
  });
  for await (const chunk of untilAborted(pack, signal)) {
    decoder.write(chunk);
    guard.hold(decoder.take().objectIds);
    if (!guard.isDue) continue;
    await guard.flush();
    trimHeap();
  }
  decoder.end();
  const ghosts = await guard.ghosts();
  if (onMissing) {
    for await (const page of ghosts.pages()) {
      onMissing(page);
      trimHeap();
    }
  }
  return { manifest_entries: entries, objects: decoder.counts.objects, missing: ghosts.count };
}
