/**
 * The statements of the ghost guard's table.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { execute } from "../client/execute.ts";

/** Settling millions of ids takes minutes. */
const SETTLE_DEADLINE_MS = 60 * 60_000;

/** A batch of ids on its way to the table. */
export interface GuardBatch {
  /** The guard that keeps them. */
  readonly guardId: string;
  /** The repo whose refs count. */
  readonly repoId: string;
  /** Its number; the first one sweeps up what guards that died left behind. */
  readonly batch: number;
  /** The ids. */
  readonly ids: readonly string[];
}

/**
 * Keeps the named ids that the repo has no ref for.
 *
 * @returns How many that are.
 */
export async function spillNamed(
  database: Database,
  { guardId, repoId, batch, ids }: GuardBatch,
): Promise<number> {
  const { sql } = database;
  const [row] = await execute(
    database,
    sql<{ kept: number }[]>`
      with ${sweep(sql, batch)},
      unknown as materialized (
        select id from unnest(${arrayLiteral(ids)}::text[]) id
        where not exists (
          select from musehub_object_refs r where r.repo_id = ${repoId} and r.object_id = id)
      ), kept as (
        insert into mpack_guard_ids (guard_id, kind, batch, ids)
        select ${guardId}, 'named', ${batch}::integer, array_agg(id) from unknown
        having count(*) > 0
      )
      select count(*) as kept from unknown`,
    { action: "keep the ids that a pack names" },
  );
  return row.kept;
}

/** Keeps ids that the pack brings. */
export async function spillHeld(
  database: Database,
  { guardId, batch, ids }: GuardBatch,
): Promise<void> {
  const { sql } = database;
  await execute(
    database,
    sql`
      with ${sweep(sql, batch)}
      insert into mpack_guard_ids (guard_id, kind, batch, ids)
      values (${guardId}, 'held', ${batch}::integer, ${arrayLiteral(ids)}::text[])`,
    { action: "keep the ids that a pack holds" },
  );
}

function sweep(sql: Database["sql"], batch: number) {
  return sql`swept as (
    delete from mpack_guard_ids
    where ${batch === 0}::boolean and created_at < now() - interval '1 day')`;
}

/** What the table made of a guard's ids. */
export interface SettledGuard {
  /** Named ids found, repeated ones included. */
  readonly named: number;
  /** Held ids found. */
  readonly held: number;
  /** Rows found staged for the job. */
  readonly stagedRows: number;
  /** Ids that are ghosts. */
  readonly ghosts: number;
}

/** Works out the ghosts and keeps them, in pages of `pageIds`. */
export async function settleGuard(
  database: Database,
  { guardId, repoId, jobId, pageIds }: {
    readonly guardId: string;
    readonly repoId: string;
    readonly jobId: string;
    readonly pageIds: number;
  },
): Promise<SettledGuard> {
  const [row] = await execute(
    database,
    database.sql<SettledGuard[]>`
      with named as materialized (
        select id from mpack_guard_ids, unnest(ids) id where guard_id = ${guardId} and kind = 'named'
      ), held as materialized (
        select id from mpack_guard_ids, unnest(ids) id where guard_id = ${guardId} and kind = 'held'
      ), staged as materialized (
        select id from mpack_staged_objects, unnest(object_ids) id where job_id = ${jobId}
      ), absent as materialized (
        -- Not EXCEPT or NOT IN: only an aggregate goes to disk when there are millions, and the
        -- planner cannot know how long the arrays are.
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
        (select count(*) from staged) as "stagedRows", (select count(*) from ghosts) as ghosts`,
    { action: "settle the ids that a pack names", deadlineMs: SETTLE_DEADLINE_MS },
  );
  return row;
}

/** One page of a settled guard's ghosts. */
export async function ghostPage(
  database: Database,
  { guardId, page }: { readonly guardId: string; readonly page: number },
): Promise<string[]> {
  const rows = await execute(
    database,
    database.sql<{ id: string }[]>`
      select id from mpack_guard_ids, unnest(ids) id
      where guard_id = ${guardId} and kind = 'ghost' and batch = ${page}::integer`,
    { action: "read the ids that are missing" },
  );
  return rows.map(({ id }) => id);
}

/** Deletes whatever a guard kept. */
export async function deleteGuard(database: Database, guardId: string): Promise<void> {
  await execute(
    database,
    database.sql`delete from mpack_guard_ids where guard_id = ${guardId}`,
    { action: "forget the ids of a pack" },
  );
}
