/**
 * What a move does while writers wait: it fences the source, and compares both sides.
 *
 * @module
 */

import { counted } from "../../lib/numbers.ts";
import type { Database } from "../../db/client/database.ts";
import { fenceTable, prepareFence, unfencedTables } from "../../db/shards/fence.ts";
import { type CheckKind, sumTable } from "../../db/shards/move_compare.ts";
import type { Move } from "../../db/shards/move_rows.ts";
import type { TableThere } from "../../db/shards/move_sql.ts";
import { DatabaseError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import { ifUnlocked } from "./move_back.ts";

/** A table's lock is asked for in short turns, so long in all. */
const FENCE_MS = 2 * 60_000;
/** Between two turns, so that writers get theirs. */
const FENCE_PAUSE_MS = 200;

/** How far it is. */
export interface Telling {
  readonly signal: AbortSignal;
  readonly tell: (tables: { readonly done: number; readonly total: number }) => Promise<void>;
}

/** Fences every table of the source. */
export async function fenceTables(
  source: Database,
  { moveId }: Move,
  { signal, tell }: Telling,
): Promise<void> {
  await prepareFence(source, moveId);
  const deadline = performance.now() + FENCE_MS;
  for (;;) {
    const tables = inFenceOrder(await unfencedTables(source));
    if (tables.length === 0) return;
    const left: string[] = [];
    for (const table of tables) {
      if (!await ifUnlocked(() => fenceTable(source, moveId, table))) left.push(table);
    }
    await tell({ done: tables.length - left.length, total: tables.length });
    if (left.length > 0 && performance.now() > deadline) {
      throw new DatabaseError(
        `Cannot fence ${left.join(", ")}: writers hold them for ${FENCE_MS / 1000} s; ` +
          "pg_stat_activity of the source shows which. Writers go on; run the command again",
      );
    }
    if (left.length > 0) await sleep(FENCE_PAUSE_MS, signal);
  }
}

/** The queue first: without a job's row nothing new begins to be published. */
function inFenceOrder(tables: readonly string[]): string[] {
  const first = "musehub_background_jobs";
  return [...tables].sort((a, b) => Number(b === first) - Number(a === first));
}

/** What is compared. */
export interface Sides extends Telling {
  readonly shard: string;
  readonly source: Database;
  readonly target: Database;
  readonly tables: readonly TableThere[];
  readonly kind: CheckKind;
}

/**
 * Compares every table on both sides. Neither changes meanwhile.
 *
 * @returns How many rows there are.
 * @throws {DatabaseError} If a table differs.
 */
export async function compareTables(
  { shard, source, target, tables, kind, signal, tell }: Sides,
): Promise<number> {
  let rows = 0;
  for (const [done, { name, columns }] of tables.entries()) {
    await tell({ done, total: tables.length });
    const [there, here] = await Promise.all([
      sumTable(source, name, { columns, kind }),
      sumTable(target, name, { columns, kind }),
    ]);
    if (there.rows !== here.rows || there.checksum !== here.checksum) {
      throw new DatabaseError(
        `Cannot turn shard ${shard} over: ${name} has ${
          counted(there.rows, "row")
        } at the source and ` +
          `${here.rows} at the target, with the checksums ${there.checksum || "-"} and ` +
          `${here.checksum || "-"}. Writers go on at the source; abort the move with --abort`,
        { retryable: false },
      );
    }
    rows += there.rows;
    signal.throwIfAborted();
  }
  return rows;
}
