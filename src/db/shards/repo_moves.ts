/**
 * The catalog's rows about repos that move between shards. As in move_rows.ts, every statement names
 * the run that sends it.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import type { RepoName } from "../repos.ts";
import type { Row } from "../schema/tables.ts";
import { DURABLY } from "./move_sql.ts";

/** A repo's move, as one process works on it. */
export interface RepoMove {
  readonly repoId: string;
  readonly moveId: string;
  /** Null: the catalog. */
  readonly from: string | null;
  readonly to: string | null;
  readonly step: "copying" | "removing" | "aborting";
  readonly runId: string;
  readonly madePause: boolean;
}

type MoveRow = Row<"mpackd_repo_moves">;

function toRepoMove(row: MoveRow): RepoMove {
  return {
    repoId: row.repo_id,
    moveId: row.move_id,
    from: row.from_shard,
    to: row.to_shard,
    step: row.step as RepoMove["step"],
    runId: row.run_id,
    madePause: row.made_pause,
  };
}

/** A repo to move; also one that was deleted while it moved. */
export async function findRepoToMove(
  catalog: Database,
  { owner, slug }: RepoName,
): Promise<RepoName & { readonly repoId: string } | undefined> {
  const [row] = await catalog.query<{ repo_id: string }>("find a repo to move")`
    select r.repo_id from musehub_repos r
    where r.owner = ${owner} and r.slug = ${slug} and (r.deleted_at is null or exists (
      select from mpackd_repo_moves m where m.repo_id = r.repo_id))`;
  return row && { owner, slug, repoId: row.repo_id };
}

/** The move of a repo that has not ended. */
export async function findRepoMove(
  catalog: Database,
  repoId: string,
): Promise<RepoMove | undefined> {
  const [row] = await catalog.query<MoveRow>("find a repo's move")`
    select * from mpackd_repo_moves where repo_id = ${repoId}`;
  return row && toRepoMove(row);
}

/**
 * Begins a move, or takes over one that has begun.
 *
 * @throws {ConfigError} If the repo is not where `from` says, is deleted, or moves elsewhere.
 */
export async function takeRepoMove(
  catalog: Database,
  { repoId, from, to }: Pick<RepoMove, "repoId" | "from" | "to">,
): Promise<RepoMove> {
  const moveId = crypto.randomUUID().slice(0, 8), runId = crypto.randomUUID();
  const [row] = await catalog.query<MoveRow>("begin a repo's move")`
    insert into mpackd_repo_moves as m (repo_id, move_id, from_shard, to_shard, step, run_id)
    select r.repo_id, ${moveId}, ${from}, ${to}, 'copying', ${runId}
    from musehub_repos r
    where r.repo_id = ${repoId} and (
        r.deleted_at is null and r.shard is not distinct from ${from}
        or exists (select from mpackd_repo_moves o where o.repo_id = r.repo_id))
      and (${to}::text is null or exists (
        select from mpackd_shards s where s.name = ${to} and s.state <> 'moving'))
      and (${from}::text is null or exists (
        select from mpackd_shards s where s.name = ${from} and s.state <> 'moving'))
      and not exists (select from mpackd_shard_moves o
        where o.ended_at is null and o.shard in (${from}, ${to}))
    on conflict (repo_id) do update set run_id = excluded.run_id
      where m.to_shard is not distinct from excluded.to_shard and m.step <> 'aborting'
    returning *, ${catalog.sql.unsafe(DURABLY)}`;
  if (row !== undefined) return toRepoMove(row);
  throw new ConfigError(
    "Cannot move the repo: it is deleted, or moves to another shard already, or one of the two " +
      'shards is moving or does not exist; "mpackd shard list" shows them',
  );
}

/** Takes a move over, to abort it. Not one that has turned the repo over. */
export async function takeToAbort(catalog: Database, repoId: string): Promise<RepoMove> {
  const [row] = await catalog.query<MoveRow>("abort a repo's move")`
    update mpackd_repo_moves set run_id = ${crypto.randomUUID()}, step = 'aborting'
    where repo_id = ${repoId} and step <> 'removing' returning *, ${catalog.sql.unsafe(DURABLY)}`;
  if (row !== undefined) return toRepoMove(row);
  throw new ConfigError(
    "Cannot abort: no move of the repo is open, or it lives in its new shard already; then the " +
      "command without --abort removes the rest",
  );
}

/** Notes that the move pauses the repo's jobs. */
export async function notePause(catalog: Database, { repoId, runId }: RepoMove): Promise<RepoMove> {
  const [row] = await catalog.query<MoveRow>("note a repo's pause")`
    update mpackd_repo_moves set made_pause = true
    where repo_id = ${repoId} and run_id = ${runId} returning *, ${catalog.sql.unsafe(DURABLY)}`;
  return ours(row);
}

/**
 * Turns the repo over: from now on it lives in the new shard. One statement, and only of the process
 * that works on the move. Jobs that the catalog has forwarded are followed there.
 */
export async function flipRepo(catalog: Database, { repoId, runId }: RepoMove): Promise<RepoMove> {
  const [row] = await catalog.query<MoveRow>("turn a repo over")`
    with move as materialized (
      select * from mpackd_repo_moves
      where repo_id = ${repoId} and run_id = ${runId} and step = 'copying' for update
    ), placed as (
      update musehub_repos r set shard = move.to_shard from move
      where r.repo_id = move.repo_id and r.shard is not distinct from move.from_shard
        and not exists (select from mpackd_shard_moves o
          where o.ended_at is null and o.shard in (move.from_shard, move.to_shard))
      returning r.repo_id
    ), followed as (
      update mpackd_forwarded_jobs f set shard = move.to_shard
      from move, musehub_background_jobs j
      where j.repo_id = move.repo_id and f.job_id = j.job_id and move.to_shard is not null
    ), ended as (
      delete from mpackd_forwarded_jobs f using move, musehub_background_jobs j
      where j.repo_id = move.repo_id and f.job_id = j.job_id and move.to_shard is null
    )
    update mpackd_repo_moves m set step = 'removing' from placed
    where m.repo_id = placed.repo_id
    returning m.*, ${catalog.sql.unsafe(DURABLY)}`;
  return ours(row);
}

/** Ends a move. */
export async function endRepoMove(catalog: Database, { repoId, runId }: RepoMove): Promise<void> {
  const [row] = await catalog.query<MoveRow>("end a repo's move")`
    delete from mpackd_repo_moves where repo_id = ${repoId} and run_id = ${runId} returning *, ${
    catalog.sql.unsafe(DURABLY)
  }`;
  ours(row);
}

function ours(row: MoveRow | undefined): RepoMove {
  if (row !== undefined) return toRepoMove(row);
  throw new ConfigError(
    "Cannot go on with the repo's move: another process has taken it over, or it has ended",
  );
}
