/**
 * What a repo's graph of commits says to a push.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";

/** A commit whose ancestors the repo has, all of them. */
export interface ConnectedCommit {
  readonly commitId: string;
  readonly generation: number;
  readonly depth: number;
  readonly jumpId: string;
  /** Null for a row of an older version. */
  readonly sortTime: number | null;
}

/**
 * Finds which of these commits a repo has with all their ancestors, and the commits that their jumps
 * lead to, down to a root: some 2 log2(history) for each.
 *
 * @param commitIds Some hundreds at most.
 */
export function findConnected(
  db: Database,
  repoId: string,
  commitIds: readonly string[],
): Promise<ConnectedCommit[]> {
  return db.run<ConnectedCommit>("look parents up", FIND_CONNECTED, [
    arrayLiteral(commitIds),
    repoId,
  ]);
}

/**
 * The query of {@link findConnected}, with the columns `commit_id`, `generation`, `depth`, `jump_id`
 * and `sort_time`.
 *
 * @param repoId SQL for the repo's id.
 * @param commitIds SQL for an array of ids.
 */
export function connectedText(repoId: string, commitIds: string): string {
  return `
    with recursive line as (
      select g.commit_id, g.generation, g.depth, g.jump_id, g.sort_time
      from unnest(${commitIds}) as asked(commit_id)
      cross join lateral (
        select * from musehub_commit_graph g
        where g.repo_id = ${repoId} and g.commit_id = asked.commit_id and g.generation is not null
        offset 0
      ) as g
      union
      select j.commit_id, j.generation, j.depth, j.jump_id, j.sort_time
      from line cross join lateral (
        select * from musehub_commit_graph g
        where g.repo_id = ${repoId} and g.commit_id = line.jump_id offset 0
      ) as j
    )
    select commit_id, generation, depth, jump_id, sort_time from line`;
}

const FIND_CONNECTED = `
  select commit_id as "commitId", generation, depth, jump_id as "jumpId", sort_time as "sortTime"
  from (${connectedText("$2", "$1::text[]")}) as line`;

/** A commit that waits for an ancestor. */
export interface CutCommit {
  readonly commitId: string;
  readonly parentIds: readonly string[];
  /** When it was made, in milliseconds since 1970; null if its time cannot be read. */
  readonly timeMs: number | null;
}

/** Commits of a repo that wait for an ancestor, `limit` at most. */
export async function findCut(
  db: Database,
  repoId: string,
  limit: number,
): Promise<CutCommit[]> {
  const rows = await db.query<{ commitId: string; parents: string; timeMs: string | null }>(
    "look for cut-off commits",
  )`
    select g.commit_id as "commitId", array_to_string(g.parent_ids, ',') as parents,
      extract(epoch from r.committed_time) * 1000 as "timeMs"
    from (
      select commit_id, parent_ids from musehub_commit_graph
      where repo_id = ${repoId} and generation is null limit ${limit}::integer
    ) g
    left join lateral (
      select r.committed_time from musehub_commit_refs r
      where r.repo_id = ${repoId} and r.commit_id = g.commit_id offset 0
    ) as r on true`;
  return rows.map(({ commitId, parents, timeMs }) => ({
    commitId,
    parentIds: parents === "" ? [] : parents.split(","),
    timeMs: timeMs === null ? null : Math.floor(Number(timeMs)),
  }));
}

/**
 * Whether a commit is among the ancestors of others, or one of them: see is_ancestor_1.sql. False if
 * the repo lacks it.
 */
export async function isAncestor(
  db: Database,
  { repoId, ancestorId, commitIds }: {
    readonly repoId: string;
    readonly ancestorId: string;
    readonly commitIds: readonly string[];
  },
): Promise<boolean> {
  if (commitIds.length === 0) return false;
  const [row] = await db.query<{ found: boolean }>("look for an ancestor")`
    select mpackd_is_ancestor_1(${repoId}, ${ancestorId}, ${
    arrayLiteral(commitIds)
  }::text[]) as found`;
  return row.found;
}

/** The snapshots among these that the repo lacks. */
export async function missingSnapshots(
  db: Database,
  repoId: string,
  snapshotIds: readonly string[],
): Promise<string[]> {
  const rows = await db.query<{ id: string }>("look snapshots up")`
    select id from unnest(${arrayLiteral(snapshotIds)}::text[]) id
    where not exists (
      select from musehub_snapshot_refs s where s.repo_id = ${repoId} and s.snapshot_id = id)`;
  return rows.map(({ id }) => id);
}

/** How many deltas a reader has to apply for each of these snapshots, as far as the repo has them. */
export async function deltaDepths(
  db: Database,
  repoId: string,
  snapshotIds: readonly string[],
): Promise<Map<string, number>> {
  const rows = await db.query<{ id: string; depth: number }>("look base snapshots up")`
    select snapshot_id as id, coalesce(delta_depth, 0) as depth from musehub_snapshot_refs
    where repo_id = ${repoId} and snapshot_id = any(${arrayLiteral(snapshotIds)}::text[])`;
  return new Map(rows.map(({ id, depth }) => [id, depth]));
}

/** The commits among these that the repo lacks. */
export async function missingCommits(
  db: Database,
  repoId: string,
  commitIds: readonly string[],
): Promise<string[]> {
  const rows = await db.query<{ id: string }>("look commits up")`
    select id from unnest(${arrayLiteral(commitIds)}::text[]) id
    where not exists (
      select from musehub_commit_refs c where c.repo_id = ${repoId} and c.commit_id = id)`;
  return rows.map(({ id }) => id);
}
