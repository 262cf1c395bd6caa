/**
 * Tags that come apart from a pack.
 *
 * @module
 */

import type { Database } from "../client/database.ts";

/** A tag to set. */
export interface NewTag {
  readonly tag: string;
  readonly commitId: string;
  /** Null: now. */
  readonly createdAt: Date | null;
}

/** What became of them: nothing was set if a commit is missing. */
export interface SetTags {
  /** Tags that are new or that moved. */
  readonly stored: number;
  /** A commit that the repo does not have; null if it has all. */
  readonly missing: string | null;
}

/**
 * Sets tags of a repo; one that exists moves. All are set, or none.
 *
 * @param tags Each name once.
 */
export async function setTags(
  db: Database,
  repoId: string,
  tags: readonly NewTag[],
): Promise<SetTags> {
  const rows = tags.map(({ tag, commitId, createdAt }) => ({
    tag,
    commit_id: commitId,
    created_at: createdAt?.toISOString() ?? null,
  }));
  const [row] = await db.query<SetTags>("set tags")`
    with given as materialized (
      select * from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
        as t (tag text, commit_id text, created_at timestamptz)
    ), held as materialized (
      -- gc must not delete them meanwhile.
      select r.commit_id from musehub_commit_refs r
      where r.repo_id = ${repoId} and r.commit_id in (select g.commit_id from given g)
      order by r.commit_id
      for key share
    ), missing as materialized (
      select g.commit_id from given g
      where not exists (select from held h where h.commit_id = g.commit_id)
      limit 1
    ), stored as (
      insert into musehub_tags as old (repo_id, tag, commit_id, created_at)
      select ${repoId}, tag, commit_id, coalesce(created_at, now()) from given
      where not exists (select from missing)
      order by tag collate "C"
      on conflict (repo_id, tag) do update
        set commit_id = excluded.commit_id, created_at = excluded.created_at
        where old.commit_id <> excluded.commit_id
      returning 1
    )
    select (select count(*)::int from stored) as stored,
      (select commit_id from missing) as missing`;
  return row;
}
