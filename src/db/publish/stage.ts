import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { execute } from "../client/execute.ts";
import type { ObjectColumns } from "../../lib/object_columns.ts";
import { type Heartbeat, type Lease, leaseLost } from "../lease.ts";

/** A batch on its way to the staging table. */
export interface StageBatch {
  /** The rows. */
  readonly rows: ObjectColumns;
  /** The job's repo, where the ids are looked up. */
  readonly repoId: string;
  /** How long the lease shall last from now, in milliseconds. */
  readonly leaseMs: number;
  /** Its place among the job's batches, from 0; a batch staged twice replaces itself. */
  readonly batch: number;
  /** True for the first batch of an attempt: sweeps away this one and later ones of attempts before. */
  readonly isFirst?: boolean;
  /** How far the job is, for people. */
  readonly progress: object;
  /** Where the next attempt may continue; null forgets it, undefined keeps what is there. */
  readonly checkpoint?: object | null;
}

/**
 * Stages a batch, extends the lease and records progress and checkpoint, all in one statement.
 *
 * It also notes which of the ids are known by now: here that is done while the next batch is read,
 * in the publish somebody would wait for it.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 */
export async function stageBatch(
  database: Database,
  lease: Lease,
  options: StageBatch,
): Promise<Heartbeat> {
  const { leaseMs, batch, isFirst = false, progress, checkpoint, repoId } = options;
  const { length, idsText, contentOffsets, sizesBytes } = options.rows;
  const { sql } = database;
  const ids = sql`${`{${idsText}}`}::text[]`;
  const [row] = await execute(
    database,
    // The update comes first and takes the row lock: a reclaim under way makes it wait, and then
    // miss. A check without a lock would let a stale batch slip in.
    sql<Heartbeat[]>`
      with lease as (
        update musehub_background_jobs set
          lease_expires_at = now() + ${leaseMs}::float8 * interval '1 ms',
          progress = ${JSON.stringify(progress)}::text::json,
          checkpoint = case when ${checkpoint !== undefined}::boolean
            then ${checkpoint ? JSON.stringify(checkpoint) : null}::text::json
            else checkpoint end
        where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
        returning job_id, coalesce(cancel_requested, false) as cancel_requested
      ), swept as (
        delete from mpack_staged_objects s using lease
        where ${isFirst}::boolean and s.job_id = lease.job_id and s.batch >= ${batch}::integer
        returning 1
      ), staged as (
        insert into mpack_staged_objects
          (job_id, fence, batch, rows, object_ids, content_offsets, sizes_bytes, known_objects,
            known_refs)
        select job_id, ${lease.fence}::bigint, ${batch}::integer, ${length}::integer,
          ${ids}, ${arrayLiteral(contentOffsets)}::bigint[], ${arrayLiteral(sizesBytes)}::bigint[],
          known.known_objects, known.known_refs
        from lease, mpackd_known_objects(${repoId}, ${ids}) as known
        where (select count(*) from swept) >= 0
        on conflict (job_id, batch) do update set
          fence = excluded.fence, rows = excluded.rows, object_ids = excluded.object_ids,
          content_offsets = excluded.content_offsets, sizes_bytes = excluded.sizes_bytes,
          known_objects = excluded.known_objects, known_refs = excluded.known_refs
      )
      select cancel_requested as "cancelRequested" from lease`,
    { action: "stage a batch" },
  );
  if (row === undefined) throw leaseLost("stage a batch", lease);
  return row;
}

/** What lies staged for a job. */
export interface StagedRows {
  /** How many batches. */
  readonly batches: number;
  /** How many rows in them. */
  readonly rows: number;
}

/**
 * Counts what the job's attempts have staged in its first `batches` batches.
 *
 * After a crash of the database server there is nothing left, whatever the checkpoint says.
 */
export async function stagedRows(
  database: Database,
  jobId: string,
  batches: number,
): Promise<StagedRows> {
  const [row] = await execute(
    database,
    database.sql<StagedRows[]>`
      select count(*)::int as batches, coalesce(sum(rows), 0)::bigint as rows
      from mpack_staged_objects where job_id = ${jobId} and batch < ${batches}::integer`,
    { action: "count staged rows" },
  );
  return row;
}
