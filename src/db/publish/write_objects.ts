import type { Database } from "../client/database.ts";
import { CancelledError } from "../../errors.ts";
import { type Lease, leaseLost } from "../lease.ts";

/** Rows of one staged batch. */
interface BatchSlice {
  /** The batch. */
  readonly batch: number;
  /** The first of its rows, counted from 1. */
  readonly firstRow: number;
  /** The last one. */
  readonly lastRow: number;
  /** What `musehub_objects` says of where the objects lie. */
  readonly storageUri: string;
  /** Whether what the batch notes of known ids may be trusted. */
  readonly isFresh: boolean;
}

/**
 * Writes objects into the table that all repos share, in an autocommit statement of their own, and
 * adds to the count in the job's row. Writing them again changes nothing.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 * @throws {CancelledError} If the job is to be cancelled.
 */
export async function writeObjects(
  db: Database,
  lease: Lease,
  { batch, firstRow, lastRow, storageUri, isFresh }: BatchSlice,
): Promise<void> {
  const [row] = await db.query<{ cancelRequested: boolean }>("write objects")`
    select * from mpackd_write_objects_1(
      ${lease.jobId}, ${lease.fence}::bigint, ${storageUri}, ${batch}::integer,
      ${firstRow}::integer, ${lastRow}::integer, ${isFresh})`;
  if (row === undefined) throw leaseLost("write objects", lease);
  if (row.cancelRequested) throw new CancelledError("Cannot go on: the job was cancelled");
}
