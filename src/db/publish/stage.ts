import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import type { ObjectColumns } from "../../lib/object_columns.ts";
import { type Heartbeat, type Lease, leaseLost } from "../lease.ts";
import type { RecordRows } from "./record_rows.ts";

/** One batch of decoded rows. */
export interface StageBatch {
  /** The rows. */
  readonly rows: ObjectColumns;
  /** The job's repo, where the ids are looked up. */
  readonly repoId: string;
  /** How long the lease lasts from now, in milliseconds. */
  readonly leaseMs: number;
  /** Its number among the job's batches, from 0. A batch staged twice replaces itself. */
  readonly batch: number;
  /** True for the first batch of an attempt: deletes this batch and later ones of earlier attempts. */
  readonly isFirst?: boolean;
  /** How far the job is, to be shown. */
  readonly progress: object;
  /** Where the next attempt may continue. Null deletes it, undefined leaves the one before. */
  readonly checkpoint?: object | null;
  /** Records of history that belong to the batch. Default: none. */
  readonly records?: RecordRows;
}

/**
 * Stages a batch, extends the lease and records progress and checkpoint, all in one statement.
 *
 * The server also notes which of the ids are known by now. That costs no time here, because the next
 * batch is read meanwhile; the publish would have to wait for it.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 */
export async function stageBatch(
  db: Database,
  lease: Lease,
  options: StageBatch,
): Promise<Heartbeat> {
  const { leaseMs, batch, isFirst = false, progress, checkpoint, repoId } = options;
  const { idsText, contentOffsets, sizesBytes, encodings } = options.rows;
  const { commits = [], snapshots = [], tags = [] } = options.records ?? {};
  const [row] = await db.query<Heartbeat>("stage a batch")`
    select * from mpackd_stage_2(
      ${lease.jobId}, ${lease.fence}::bigint, ${repoId}, ${leaseMs}::float8,
      ${JSON.stringify(progress)}::text::json,
      ${checkpoint !== undefined}::boolean,
      ${checkpoint ? JSON.stringify(checkpoint) : null}::text::json,
      ${batch}::integer, ${isFirst}::boolean, ${`{${idsText}}`}::text[],
      ${arrayLiteral(contentOffsets)}::bigint[], ${arrayLiteral(sizesBytes)}::bigint[],
      ${encodings ? arrayLiteral(encodings) : null}::text[],
      ${jsonOf(commits)}::text::jsonb, ${jsonOf(snapshots)}::text::jsonb,
      ${jsonOf(tags)}::text::jsonb)`;
  if (row === undefined) throw leaseLost("stage a batch", lease);
  return row;
}

function jsonOf(rows: readonly unknown[]): string | null {
  return rows.length === 0 ? null : JSON.stringify(rows);
}

/** What is staged for a job. */
export interface StagedRows {
  /** How many batches. */
  readonly batches: number;
  /** How many rows in them. */
  readonly rows: number;
  /** How many of the batches have records of history. */
  readonly recordBatches: number;
}

/**
 * Counts what the job's attempts have staged in its first `batches` batches.
 *
 * After a crash of the database server there is nothing left, whatever the checkpoint says.
 */
export async function stagedRows(
  db: Database,
  jobId: string,
  batches: number,
): Promise<StagedRows> {
  const [row] = await db.query<StagedRows>("count staged rows")`
    select count(*)::int as batches, coalesce(sum(rows), 0)::bigint as rows,
      (select count(*) from mpack_staged_records
        where job_id = ${jobId} and batch < ${batches}::integer)::int as "recordBatches"
    from mpack_staged_objects where job_id = ${jobId} and batch < ${batches}::integer`;
  return row;
}
