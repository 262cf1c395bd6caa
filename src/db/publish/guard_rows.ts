/**
 * The statements on `mpack_guard_ids`, where the ghost guard keeps ids that do not fit into memory.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { type Lease, leaseLost } from "../lease.ts";

/** Ids that one statement writes. */
export interface GuardBatch {
  /** The guard that writes them. */
  readonly guardId: string;
  /** The repo that is pushed to. */
  readonly repoId: string;
  /** Its number, from 0. Batch 0 also deletes what guards of more than a day ago have left. */
  readonly batch: number;
  readonly ids: readonly string[];
  /**
   * The hold on the job. Its next attempt goes on with the rows, so a statement of this one that is
   * still under way when the lease is lost must not write.
   */
  readonly lease?: Lease;
}

/**
 * Writes those of the named ids that the repo has no ref for.
 *
 * @returns How many were written.
 * @throws {LeaseLostError} If the job is no longer held.
 */
export async function spillNamed(
  db: Database,
  { guardId, repoId, batch, ids, lease }: GuardBatch,
): Promise<number> {
  const action = "write the ids that a pack names";
  const [row] = await db.query<{ kept: number; isHeld: boolean }>(action)`
    with ${sweep(db.sql, batch)}, held as materialized (${holding(db.sql, lease)}),
    unknown as materialized (
      select id from held, unnest(${arrayLiteral(ids)}::text[]) id
      where not exists (
        select from musehub_object_refs r where r.repo_id = ${repoId} and r.object_id = id)
    ), kept as (
      insert into mpack_guard_ids (guard_id, kind, batch, ids)
      select ${guardId}, 'named', ${batch}::integer, array_agg(id) from unknown
      having count(*) > 0
    )
    select (select count(*) from unknown) as kept, exists (select from held) as "isHeld"`;
  if (!row.isHeld) throw leaseLost(action, lease!);
  return row.kept;
}

/**
 * Writes ids that the pack contains.
 *
 * @throws {LeaseLostError} If the job is no longer held.
 */
export async function spillHeld(
  db: Database,
  { guardId, batch, ids, lease }: GuardBatch,
): Promise<void> {
  const action = "write the ids that a pack contains";
  const rows = await db.query<object>(action)`
    with ${sweep(db.sql, batch)}, held as materialized (${holding(db.sql, lease)})
    insert into mpack_guard_ids (guard_id, kind, batch, ids)
    select ${guardId}, 'held', ${batch}::integer, ${arrayLiteral(ids)}::text[] from held
    returning batch`;
  if (rows.length === 0) throw leaseLost(action, lease!);
}

/** One row while the job is held. It is locked until the statement ends: a claim passes over it. */
function holding(sql: Database["sql"], lease: Lease | undefined) {
  if (lease === undefined) return sql`select`;
  return sql`
    select from musehub_background_jobs
    where job_id = ${lease.jobId} and fence = ${lease.fence} and status = 'running'
    for no key update`;
}

function sweep(sql: Database["sql"], batch: number) {
  return sql`swept as (
    delete from mpack_guard_ids
    where ${batch === 0}::boolean and created_at < now() - interval '1 day')`;
}

/**
 * Deletes what a guard wrote from this batch on, and the ghosts that it had found.
 *
 * @returns How many named ids are in the batches before it.
 * @throws {LeaseLostError} If the job is no longer held.
 */
export async function rewindGuard(
  db: Database,
  { guardId, batches, lease }: Pick<GuardBatch, "guardId" | "lease"> & {
    readonly batches: number;
  },
): Promise<number> {
  const action = "go on with the ids of a pack";
  const [row] = await db.query<{ named: number; isHeld: boolean }>(action)`
    with held as materialized (${holding(db.sql, lease)}), gone as (
      delete from mpack_guard_ids
      where guard_id = ${guardId} and (batch >= ${batches}::integer or kind = 'ghost')
        and exists (select from held))
    select coalesce(sum(cardinality(ids)), 0)::bigint as named, exists (select from held) as "isHeld"
    from mpack_guard_ids
    where guard_id = ${guardId} and kind = 'named' and batch < ${batches}::integer`;
  if (!row.isHeld) throw leaseLost(action, lease!);
  return row.named;
}

/** What was found when a guard was settled. The first three must equal what was written. */
export interface SettledGuard {
  /** Named ids, repeated ones included. */
  readonly named: number;
  /** Ids that the pack contains. */
  readonly held: number;
  /** Rows staged for the job. */
  readonly stagedRows: number;
  /** Ids that are named, and neither in the pack nor the repo's. */
  readonly ghosts: number;
}

/** Finds the ghosts among a guard's ids, and writes them in pages of `pageIds`. */
export async function settleGuard(
  db: Database,
  { guardId, repoId, jobId, batches, pageIds, deadlineMs }: {
    readonly guardId: string;
    readonly repoId: string;
    readonly jobId: string;
    /** How many batches of the job count: later ones are what is left of an earlier attempt. */
    readonly batches: number;
    readonly pageIds: number;
    /** Millions of ids take minutes. */
    readonly deadlineMs: number;
  },
): Promise<SettledGuard> {
  const [row] = await db.query<SettledGuard>("find the missing ids of a pack", {
    deadlineMs,
  })`
    with named as materialized (
      select id from mpack_guard_ids, unnest(ids) id where guard_id = ${guardId} and kind = 'named'
    ), held as materialized (
      select id from mpack_guard_ids, unnest(ids) id where guard_id = ${guardId} and kind = 'held'
    ), staged as materialized (
      select id from mpack_staged_objects, unnest(object_ids) id
      where job_id = ${jobId} and batch < ${batches}::integer
    ), absent as materialized (
      -- An aggregate goes to disk when there are millions of ids. EXCEPT and NOT IN do not, and
      -- the planner cannot know how long the arrays are.
      select id from (
        select id, false as is_held from named
        union all select id, true from held
        union all select id, true from staged
      ) ids group by id having not bool_or(is_held)
    ), ghosts as materialized (
      select id, (row_number() over (order by id collate "C") - 1) / ${pageIds}::integer as page
      from absent
      where not exists (
        select from musehub_object_refs r where r.repo_id = ${repoId} and r.object_id = id)
    ), kept as (
      insert into mpack_guard_ids (guard_id, kind, batch, ids)
      select ${guardId}, 'ghost', page, array_agg(id order by id collate "C")
      from ghosts group by page
    )
    select (select count(*) from named) as named, (select count(*) from held) as held,
      (select count(*) from staged) as "stagedRows", (select count(*) from ghosts) as ghosts`;
  return row;
}

/** Reads one page of a settled guard's ghosts. */
export async function ghostPage(
  db: Database,
  { guardId, page }: { readonly guardId: string; readonly page: number },
): Promise<string[]> {
  const rows = await db.query<{ id: string }>("read the ids that are missing")`
    select id from mpack_guard_ids, unnest(ids) id
    where guard_id = ${guardId} and kind = 'ghost' and batch = ${page}::integer`;
  return rows.map(({ id }) => id);
}

/** Deletes all that a guard wrote. */
export async function deleteGuard(db: Database, guardId: string): Promise<void> {
  await db.query<object>("delete the ids of a pack")`
    delete from mpack_guard_ids where guard_id = ${guardId}`;
}
