/**
 * Goes back: lets the shard's writers go on, and with `--abort` removes all that a move has made.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import {
  dropFence,
  fencedTables,
  hasFence,
  openFence,
  resumeClaims,
  unfenceTable,
} from "../../db/shards/fence.ts";
import {
  endAbortedMove,
  findOpenMove,
  type Move,
  moveName,
  noteMove,
  releaseShard,
  takeMove,
} from "../../db/shards/move_rows.ts";
import { dropPublication, dropSlots, endSenders } from "../../db/shards/move_source.ts";
import { dropSchema, dropSubscription } from "../../db/shards/move_target.ts";
import { hasSqlState } from "../../db/publish/sql_state.ts";
import { ConfigError, DatabaseError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import type { MoveOptions } from "./move_options.ts";
import { schemaOf } from "./conninfo.ts";

const PAUSE_MS = 200;
/** Long statements hold a table's lock; an open fence harms nobody meanwhile. */
const UNFENCE_MS = 2 * 60_000;
const SLOTS_MS = 30_000;

/**
 * Opens the fence of the source, and lets its writers and workers go on. From its first statement on
 * they can; the rest removes what is left.
 */
export async function letWritersGoOn(
  { catalog, signal }: Pick<MoveOptions, "catalog" | "signal">,
  source: Database,
  move: Move,
): Promise<void> {
  if (await hasFence(source)) {
    await openFence(source);
    await resumeClaims(source, move.moveId);
    await releaseShard(catalog, move);
    const deadline = performance.now() + UNFENCE_MS;
    for (let left = await fencedTables(source); left.length > 0;) {
      for (const table of left) await ifUnlocked(() => unfenceTable(source, table));
      left = await fencedTables(source);
      if (left.length > 0 && performance.now() > deadline) {
        throw new DatabaseError(
          `Cannot remove the open fence of ${left.join(", ")}: others hold locks there; run the ` +
            "command again",
        );
      }
      if (left.length > 0) await sleep(PAUSE_MS, signal);
    }
    await dropFence(source);
  }
  await resumeClaims(source, move.moveId);
  await releaseShard(catalog, move);
}

/** Calls a function that waits for a lock; false if it did not get it in its turn. */
export async function ifUnlocked(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    // lock_not_available, deadlock_detected
    if (hasSqlState(error, "55P03") || hasSqlState(error, "40P01")) return false;
    throw error;
  }
}

/** How to abort a move. */
export interface AbortOptions extends MoveOptions {
  /** Go on without the target: it is lost, or was removed. */
  readonly isWithoutTarget?: boolean;
}

/**
 * Undoes a move that has not ended. The source first, so that its writers go on at once; nothing is
 * left of the move on either server.
 *
 * @param own The move that this process works on. Default: the open one, whichever process does.
 * @throws {ConfigError} If there is none, or another process works on it.
 * @throws {DatabaseError} If a server cannot be reached; the same call goes on.
 */
export async function abortMove(options: AbortOptions, own?: Move): Promise<void> {
  const { catalog, shard, connect, completeUrl, signal, onProgress } = options;
  const open = own ?? await findOpenMove(catalog, shard);
  if (open === undefined) {
    throw new ConfigError(`Cannot abort: no move of shard ${shard} is open`);
  }
  await onProgress?.({ step: "abort" });
  const taken = own ?? await takeMove(catalog, open.moveId);
  const move = await noteMove(catalog, taken, { step: "aborting" });
  const name = moveName(move);
  const source = connect(completeUrl(move.oldUrl)), target = connect(completeUrl(move.newUrl));
  try {
    await letWritersGoOn(options, source, move);
    if (!options.isWithoutTarget) await dropSubscription(target, name);
    const deadline = performance.now() + SLOTS_MS;
    while (!await dropSlots(source, name, move.subscriptionOid)) {
      // The target of before a failover, which the source has not noticed to be gone.
      await endSenders(source, name, move.subscriptionOid);
      if (performance.now() > deadline) {
        throw new DatabaseError(
          `Cannot remove the replication slot ${name} on ${source.label}: the target still uses it; ` +
            "run the command again",
        );
      }
      await sleep(PAUSE_MS, signal);
    }
    await dropPublication(source, name);
    const schema = schemaOf(completeUrl(move.newUrl));
    if (!options.isWithoutTarget && schema !== undefined) {
      await dropSchema(target, schema, { isWhole: move.madeSchema });
    }
    await endAbortedMove(catalog, move);
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}
