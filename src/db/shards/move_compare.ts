/**
 * Compares the tables of two schemas by counts and checksums.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { quoteName, runText } from "./move_sql.ts";

/** Reading a table of a billion rows takes an hour. */
const DEADLINE_MS = 6 * 60 * 60_000;

/** What of a table is compared. */
export type CheckKind = "full" | "counts";

/** A table's rows. */
export interface TableSum {
  readonly rows: number;
  /** Of all columns of all rows, in whatever order they come; empty if only rows are counted. */
  readonly checksum: string;
}

/**
 * Counts a table's rows, and adds up a 64-bit hash of each: a row that is missing, doubled or has
 * another value changes the sum. It needs no memory for the rows.
 *
 * @param columns In one order on both sides: a table that another program has made may have another.
 */
export async function sumTable(
  db: Database,
  table: string,
  { columns, kind }: { readonly columns: readonly string[]; readonly kind: CheckKind },
): Promise<TableSum> {
  const row = `row(${columns.map(quoteName).join(", ")})::text`;
  const checksum = kind === "full" ? `coalesce(sum(hashtextextended(${row}, 0)), 0)::text` : "''";
  const [sum] = await runText<TableSum>(
    db,
    `add up ${table}`,
    `select count(*)::bigint as rows, ${checksum} as checksum from ${quoteName(table)}`,
    { deadlineMs: DEADLINE_MS },
  );
  return sum;
}
