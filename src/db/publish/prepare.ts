import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { type Lease, leaseLost } from "../lease.ts";
import type { PublishOutcome } from "./publish_outcome.ts";
import type { PublishPack } from "./publish_pack.ts";
import { hasSqlState } from "./sql_state.ts";

/** The lease was lost while the statement ran (see prepare_1.sql). */
const LEASE_LOST = "MP001";

/** The rows of one pack in the staging table, in the order of their ids, each id once. */
export interface SortedRows {
  /** The first batch that has them. */
  readonly firstBatch: number;
  /** The batch after the last one that has them. */
  readonly endBatch: number;
  /** Rows left out because they repeat an id. */
  readonly duplicates: number;
}

/** What a pack's rows look like when its publish begins. */
type Prepared =
  | Extract<
    PublishOutcome,
    { readonly outcome: "conflict" | "repo-deleted" | "tombstoned" | "rows-missing" }
  >
  | {
    /** Nothing forbids the publish. */
    readonly outcome: "ready";
    /** Where the rows are. */
    readonly rows: SortedRows;
    /** The batches among them that may have objects which no repo has, and how many rows each has. */
    readonly newBatches: readonly { readonly batch: number; readonly rows: number }[];
  };

interface Row {
  readonly outcome: Prepared["outcome"];
  readonly rows_found: number;
  readonly conflict_id: string;
  readonly first_offset: number;
  readonly second_offset: number;
  readonly duplicates: number;
  readonly first_batch: number;
  readonly end_batch: number;
  readonly batches: string | null;
  readonly rows: string | null;
}

/**
 * Looks for whatever forbids to publish a pack of staged rows, stages its last rows, and sorts the
 * rows if they are not sorted. Renew the lease meanwhile: a sort takes seconds per million rows.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 */
export async function prepare(
  db: Database,
  lease: Lease,
  pack: PublishPack,
  { deadlineMs }: { readonly deadlineMs: number },
): Promise<Prepared> {
  const { inline } = pack;
  const idsText = `{${inline?.idsText ?? ""}}`;
  const [row] = await db.query<Row>("prepare a publish", { deadlineMs })`
    select *, array_to_string(new_batches, ',') as batches, array_to_string(new_rows, ',') as rows
    from mpackd_prepare_2(
      ${lease.jobId}, ${lease.fence}::bigint, ${pack.repoId}, ${pack.blobKey},
      ${pack.batches}::integer,
      ${idsText}::text[],
      ${arrayLiteral(inline?.contentOffsets ?? [])}::bigint[],
      ${arrayLiteral(inline?.sizesBytes ?? [])}::bigint[],
      ${inline?.encodings ? arrayLiteral(inline.encodings) : null}::text[],
      ${pack.objects}::bigint, ${pack.sortedUnique}, ${pack.isStageFresh === true})`
    .catch((error) => {
      throw hasSqlState(error, LEASE_LOST) ? leaseLost("prepare a publish", lease) : error;
    });
  if (row === undefined) throw leaseLost("prepare a publish", lease);
  switch (row.outcome) {
    case "rows-missing":
      return { outcome: "rows-missing", found: row.rows_found, expected: pack.objects };
    case "conflict":
      return {
        outcome: "conflict",
        objectId: row.conflict_id,
        firstOffset: row.first_offset,
        secondOffset: row.second_offset,
      };
    case "repo-deleted":
      return { outcome: "repo-deleted" };
    case "tombstoned":
      return { outcome: "tombstoned" };
    case "ready": {
      const counts = numbers(row.rows);
      return {
        outcome: "ready",
        rows: {
          firstBatch: row.first_batch,
          endBatch: row.end_batch,
          duplicates: row.duplicates,
        },
        newBatches: numbers(row.batches).map((batch, i) => ({ batch, rows: counts[i] })),
      };
    }
  }
}

function numbers(text: string | null): number[] {
  return text === null || text === "" ? [] : text.split(",").map(Number);
}
