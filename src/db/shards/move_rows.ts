/**
 * The catalog's rows about moves of shards.
 *
 * Every statement names the run that sends it: a process that was taken for dead, and whose work
 * another one has taken over, changes nothing more here.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import type { Row } from "../schema/tables.ts";
import { DURABLY } from "./move_sql.ts";
import type { ShardState } from "./shard.ts";

/** How far a move is. From `moved` and `aborted` on it has ended. */
export type MoveStep = "copying" | "fencing" | "ready" | "aborting" | "moved" | "aborted";

/** A move of a shard, as one process works on it. */
export interface Move {
  readonly moveId: string;
  readonly shard: string;
  readonly step: MoveStep;
  readonly runId: string;
  readonly oldUrl: string;
  readonly newUrl: string;
  /** The shard's state before the move. */
  readonly oldState: ShardState;
  /** Whether the move has made the target's schema. */
  readonly madeSchema: boolean;
  /** Of the subscription, on the target. */
  readonly subscriptionOid: number | null;
  /** When the old schema was removed. */
  readonly oldRemovedAt: Date | null;
  /** The source's server and timeline when it began; null: an older version has begun it. */
  readonly oldTimeline: string | null;
  /** The target's. */
  readonly newTimeline: string | null;
}

type MoveRow = Row<"mpackd_shard_moves">;

function toMove(row: MoveRow): Move {
  return {
    moveId: row.move_id,
    shard: row.shard,
    step: row.step as MoveStep,
    runId: row.run_id,
    oldUrl: row.old_url,
    newUrl: row.new_url,
    oldState: row.old_state as ShardState,
    madeSchema: row.made_schema,
    subscriptionOid: row.subscription_oid,
    oldRemovedAt: row.old_removed_at,
    oldTimeline: row.old_timeline,
    newTimeline: row.new_timeline,
  };
}

/** What a move's publication, slot and subscription are called. */
export function moveName({ moveId }: Pick<Move, "moveId">): string {
  return `mpackd_move_${moveId}`;
}

/** The move of a shard that has not ended. */
export async function findOpenMove(catalog: Database, shard: string): Promise<Move | undefined> {
  const [row] = await catalog.query<MoveRow>("find a shard's move")`
    select * from mpackd_shard_moves where shard = ${shard} and ended_at is null`;
  return row && toMove(row);
}

/** Whether this process has aborted a move. */
export async function isAborted(catalog: Database, { moveId, runId }: Move): Promise<boolean> {
  const rows = await catalog.query("look at a move that was aborted")`
    select from mpackd_shard_moves
    where move_id = ${moveId} and run_id = ${runId} and step = 'aborted'`;
  return rows.length > 0;
}

/** The last move of a shard to where it is. */
export async function findLastMove(catalog: Database, shard: string): Promise<Move | undefined> {
  const [row] = await catalog.query<MoveRow>("find a shard's last move")`
    select * from mpackd_shard_moves where shard = ${shard} and step = 'moved'
    order by ended_at desc limit 1`;
  return row && toMove(row);
}

/**
 * Begins a move of a shard; none may be open. `oldUrl` is where the shard is.
 *
 * @throws {ConfigError} If the shard is not there, has moved meanwhile, or another move has begun.
 */
export async function beginMove(
  catalog: Database,
  { shard, oldUrl, newUrl, oldTimeline, newTimeline }: Pick<
    Move,
    "shard" | "oldUrl" | "newUrl" | "oldTimeline" | "newTimeline"
  >,
): Promise<Move> {
  const moveId = crypto.randomUUID().slice(0, 8), runId = crypto.randomUUID();
  const [row] = await catalog.query<MoveRow>("begin a shard's move")`
    insert into mpackd_shard_moves
      (move_id, shard, step, run_id, old_url, new_url, old_state, old_version, old_timeline,
        new_timeline)
    select ${moveId}, s.name, 'copying', ${runId}, s.url, ${newUrl}, s.state, s.version,
      ${oldTimeline}, ${newTimeline}
    from mpackd_shards s
    where s.name = ${shard} and s.url = ${oldUrl} and s.state <> 'moving'
      and not exists (
        select from mpackd_repo_moves r where s.name in (r.from_shard, r.to_shard))
    on conflict do nothing
    returning *, ${catalog.sql.unsafe(DURABLY)}`;
  if (row !== undefined) return toMove(row);
  throw new ConfigError(
    `Cannot move shard ${shard}: another command has changed it meanwhile, or a move of a repo from or ` +
      'to it is open; look with "mpackd shard list", and run the command again',
  );
}

/**
 * Makes this process the one that works on a move.
 *
 * @throws {ConfigError} If the move has ended.
 */
export async function takeMove(catalog: Database, moveId: string): Promise<Move> {
  const runId = crypto.randomUUID();
  const [row] = await catalog.query<MoveRow>("take a shard's move over")`
    update mpackd_shard_moves set run_id = ${runId}
    where move_id = ${moveId} and ended_at is null
    returning *, ${catalog.sql.unsafe(DURABLY)}`;
  if (row !== undefined) return toMove(row);
  throw new ConfigError('Cannot go on with the move: it has ended; look with "mpackd shard list"');
}

/** Writes what is known of a move, and with `step` how far it is. */
export async function noteMove(
  catalog: Database,
  { moveId, runId }: Move,
  { step, madeSchema, subscriptionOid }: Partial<
    Pick<Move, "step" | "madeSchema" | "subscriptionOid">
  >,
): Promise<Move> {
  // The shard's state changes with the step: writers wait from the fence on.
  const isFencing = step === "fencing";
  const [row] = await catalog.query<MoveRow>("note how far a shard's move is")`
    with noted as (
      update mpackd_shard_moves m set step = coalesce(${step ?? null}, m.step),
        made_schema = coalesce(${madeSchema ?? null}::boolean, m.made_schema),
        subscription_oid = coalesce(${subscriptionOid ?? null}::bigint, m.subscription_oid)
      where m.move_id = ${moveId} and m.run_id = ${runId} and m.ended_at is null
      returning *
    ), held as (
      update mpackd_shards s set state = 'moving' from noted
      where s.name = noted.shard and ${isFencing}::boolean and s.state <> 'moving'
    )
    select *, ${catalog.sql.unsafe(DURABLY)} from noted`;
  return held(row);
}

/**
 * Turns the shard over: from now on it is where the move has copied it. One statement, and only of
 * the process that works on the move, and only when both sides are equal.
 */
export async function flipShard(catalog: Database, { moveId, runId }: Move): Promise<Move> {
  // The row is locked first: to abort a move, one has to take it over.
  const [row] = await catalog.query<MoveRow>("turn a shard over")`
    with move as materialized (
      select * from mpackd_shard_moves
      where move_id = ${moveId} and run_id = ${runId} and step = 'ready' and ended_at is null
      for update
    ), flipped as (
      -- The replica is one of the old server.
      update mpackd_shards s set url = move.new_url, replica_url = null, version = s.version + 1,
        state = move.old_state
      from move where s.name = move.shard and s.version = move.old_version
        and not exists (
          select from mpackd_repo_moves r where s.name in (r.from_shard, r.to_shard))
      returning s.name
    )
    update mpackd_shard_moves m set step = 'moved', ended_at = now()
    from flipped where m.move_id = ${moveId}
    returning m.*, ${catalog.sql.unsafe(DURABLY)}`;
  return held(row);
}

/** Lets the shard's writers go on where they were. The move stays open until all is removed. */
export async function releaseShard(catalog: Database, { moveId, runId }: Move): Promise<void> {
  await catalog.query("let a shard's writers go on")`
    update mpackd_shards s set state = m.old_state
    from mpackd_shard_moves m
    where m.move_id = ${moveId} and m.run_id = ${runId} and m.step in ('copying', 'aborting')
      and s.name = m.shard and s.state = 'moving'`;
}

/** Ends a move that was aborted. */
export async function endAbortedMove(catalog: Database, { moveId, runId }: Move): Promise<void> {
  const [row] = await catalog.query<MoveRow>("end a shard's move")`
    update mpackd_shard_moves set step = 'aborted', ended_at = now()
    where move_id = ${moveId} and run_id = ${runId} and step = 'aborting' returning *, ${
    catalog.sql.unsafe(DURABLY)
  }`;
  held(row);
}

/** Notes that the schema that a move has left behind is gone. */
export async function noteOldRemoved(catalog: Database, { moveId }: Move): Promise<void> {
  await catalog.query("note that an old schema was removed")`
    update mpackd_shard_moves set old_removed_at = now() where move_id = ${moveId}`;
}

function held(row: MoveRow | undefined): Move {
  if (row !== undefined) return toMove(row);
  throw new ConfigError(
    "Cannot go on with the move: another process has taken it over, or it has ended; look with " +
      '"mpackd shard list"',
  );
}

/** A move that has not ended, for people. */
export interface OpenMove {
  /** `shard s1`, or `repo OWNER/SLUG`. */
  readonly what: string;
  /** The command that goes on with it. */
  readonly command: string;
  readonly step: string;
  /** Whether writers wait for it. */
  readonly isHolding: boolean;
  /** Since it began. */
  readonly minutes: number;
}

/** Lists the moves of shards and repos that have not ended. */
export function openMoves(catalog: Database): Promise<OpenMove[]> {
  return catalog.query<OpenMove>("look for open moves")`
    select 'shard ' || shard as what, 'mpackd shard move ' || shard || ' --to URL' as command, step,
      step in ('fencing', 'ready') as "isHolding",
      floor(extract(epoch from now() - began_at) / 60)::int as minutes
    from mpackd_shard_moves where ended_at is null
    union all
    select 'repo ' || name, 'mpackd shard move --repo ' || name || ' --to ' || to_name, step,
      step = 'copying', floor(extract(epoch from now() - began_at) / 60)::int
    from mpackd_repo_moves m cross join lateral (
      select coalesce((select r.owner || '/' || r.slug from musehub_repos r
        where r.repo_id = m.repo_id), m.repo_id) as name, coalesce(m.to_shard, 'catalog') as to_name
    ) as of
    order by what`;
}
