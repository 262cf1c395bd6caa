import { arrayLiteral } from "./array_literal.ts";
import type { Database } from "./database.ts";
import { execute } from "./execute.ts";
import { type Heartbeat, type Lease, leaseLost } from "./lease.ts";

/** Decoded rows, column by column. */
export interface ObjectColumns {
  /** How many rows there are. */
  readonly length: number;
  /** Ids as the pack spells them, already checked to be ids; a comma between two. */
  readonly idsText: string;
  /** First byte of each content in the pack. */
  readonly contentOffsets: readonly number[];
  /** Length of each content in bytes. */
  readonly sizesBytes: readonly number[];
}

/** A batch on its way to the staging table. */
export interface StageBatch {
  /** The rows. */
  readonly rows: ObjectColumns;
  /** The job's repo and mpack. */
  readonly pack: { readonly repoId: string; readonly mpackKey: string };
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

/** What staging a batch brings back. */
export interface Staged extends Heartbeat {
  /**
   * Whether the pack was published before and all rows of the batch, distinct ids given, are known:
   * in `musehub_objects`, and as sound refs of the repo. False where the pack is new: nothing was
   * looked up then.
   */
  readonly isKnown: boolean;
}

/**
 * Stages a batch, extends the lease and records progress and checkpoint, all in one statement.
 *
 * Of a pack that was published before it also looks its ids up: that costs the publish a third of
 * what it would to meet each of them as a conflict, and here it is done while the next batch is read.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 */
export async function stageBatch(
  database: Database,
  lease: Lease,
  options: StageBatch,
): Promise<Staged> {
  const { leaseMs, batch, isFirst = false, progress, checkpoint, pack } = options;
  const { length, idsText, contentOffsets, sizesBytes } = options.rows;
  const { sql } = database;
  const ids = sql`${`{${idsText}}`}::text[]`;
  const [row] = await execute(
    database,
    // The update comes first and takes the row lock: a reclaim under way makes it wait, and then
    // miss. A check without a lock would let a stale batch slip in.
    sql<Staged[]>`
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
          (job_id, fence, batch, rows, object_ids, content_offsets, sizes_bytes)
        select job_id, ${lease.fence}::bigint, ${batch}::integer, ${length}::integer,
          ${ids}, ${arrayLiteral(contentOffsets)}::bigint[], ${arrayLiteral(sizesBytes)}::bigint[]
        from lease
        where (select count(*) from swept) >= 0
        on conflict (job_id, batch) do update set
          fence = excluded.fence, rows = excluded.rows, object_ids = excluded.object_ids,
          content_offsets = excluded.content_offsets, sizes_bytes = excluded.sizes_bytes
      )
      select cancel_requested as "cancelRequested",
        case when exists (
          select from musehub_mpacks
          where repo_id = ${pack.repoId} and mpack_key = ${pack.mpackKey}
        ) then mpackd_known_objects(${pack.repoId}, ${ids}) = ${length}::integer
          else false end as "isKnown"
      from lease`,
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
