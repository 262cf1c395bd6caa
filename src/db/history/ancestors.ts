/**
 * The parents of a repo's commits.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { readArray } from "../client/read_array.ts";

/** One commit among its relatives. */
export interface GraphRow {
  readonly commitId: string;
  /** None, one or two, the first parent first. */
  readonly parentIds: readonly string[];
  /** 1 for a root, else 1 more than the highest of its parents; null if an ancestor is missing. */
  readonly generation: number | null;
  /**
   * When it was made, in milliseconds since 1970, but after all its parents, whatever the clocks were:
   * a list by it has children before parents. Null for a commit without a generation.
   */
  readonly sortTime: number | null;
  /** When it was made, if it has no `sortTime`; null if its time cannot be read. */
  readonly timeMs: number | null;
}

type Read = Omit<GraphRow, "parentIds"> & { readonly parents: string | null };

/**
 * Reads commits and the nearest of their ancestors, in one statement.
 *
 * Each step is a lookup by key: `offset 0` keeps the planner from reading the whole history to join
 * it at once.
 *
 * @param commitIds Well-formed ids, some thousands at most.
 * @param limit The most rows to read, at least as many as there are ids.
 */
export async function readAncestors(
  db: Database,
  repoId: string,
  commitIds: readonly string[],
  limit: number,
): Promise<GraphRow[]> {
  const rows = await db.query<Read>("read the history")`
    with recursive down as (
      select c.commit_id, c.parent_ids, c.generation, c.sort_time
      from unnest(${arrayLiteral(commitIds)}::text[]) as asked(commit_id)
      cross join lateral (
        select g.commit_id, g.parent_ids, g.generation, g.sort_time from musehub_commit_graph g
        where g.repo_id = ${repoId} and g.commit_id = asked.commit_id offset 0
      ) as c
      union
      select c.commit_id, c.parent_ids, c.generation, c.sort_time
      from down cross join lateral unnest(down.parent_ids) as parent(commit_id)
      cross join lateral (
        select g.commit_id, g.parent_ids, g.generation, g.sort_time from musehub_commit_graph g
        where g.repo_id = ${repoId} and g.commit_id = parent.commit_id offset 0
      ) as c
    )
    select d.commit_id as "commitId", d.parent_ids as parents, d.generation,
      d.sort_time as "sortTime",
      extract(epoch from r.committed_time) * 1000 as "timeMs"
    from (select * from down limit ${limit}::bigint) d
    left join lateral (
      select r.committed_time from musehub_commit_refs r
      where r.repo_id = ${repoId} and r.commit_id = d.commit_id and d.sort_time is null offset 0
    ) as r on true`;
  return rows.map(({ commitId, parents, generation, sortTime, timeMs }) => ({
    commitId,
    parentIds: parents === null ? [] : readArray(parents),
    generation,
    sortTime,
    timeMs: timeMs === null ? null : Number(timeMs),
  }));
}

/**
 * Finds the ids that the repo has a commit under, with all its ancestors.
 *
 * @param commitIds Well-formed ids, some thousands at most.
 * @returns Them with their generations, the highest first.
 */
export function findGenerations(
  db: Database,
  repoId: string,
  commitIds: readonly string[],
): Promise<{ readonly commitId: string; readonly generation: number }[]> {
  return db.query<{ commitId: string; generation: number }>("find commits")`
    select commit_id as "commitId", generation from musehub_commit_graph
    where repo_id = ${repoId} and commit_id = any(${arrayLiteral(commitIds)}::text[])
      and generation is not null
    order by generation desc, commit_id`;
}

/** The first of the commits that is one of the others, or an ancestor of one of them. */
export async function firstAncestor(
  db: Database,
  repoId: string,
  { ofIds, commitIds }: {
    /** Well-formed ids. */
    readonly ofIds: readonly string[];
    /** Well-formed ids, in the order of preference. */
    readonly commitIds: readonly string[];
  },
): Promise<string | undefined> {
  const [row] = await db.query<{ commitId: string }>("look for an ancestor")`
    select c.commit_id as "commitId"
    from (
      select commit_id from unnest(${arrayLiteral(commitIds)}::text[])
        with ordinality as asked(commit_id, at)
      order by at offset 0
    ) as c
    where mpackd_is_ancestor_1(${repoId}, c.commit_id, ${arrayLiteral(ofIds)}::text[])
    limit 1`;
  return row?.commitId;
}
