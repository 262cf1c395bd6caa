/**
 * How much there is, and how much of it twice.
 *
 * @module
 */

import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** Hundreds of millions of rows are counted one by one. */
const DEADLINE_MS = 10 * 60_000;

/** Totals of one repo or of all that live; snake_case because they are printed as they are. */
export interface Stats {
  /** Repos. */
  readonly repos: number;
  /** Indexed mpacks; the same pack pushed to two repos counts twice. */
  readonly packs: number;
  /** Their length in bytes. */
  readonly pack_bytes: number;
  /** Objects in them, each as often as a pack has it. */
  readonly pack_objects: number;
  /** Commits in them. */
  readonly commits: number;
  /** Snapshots in them. */
  readonly snapshots: number;
  /** Tags in them. */
  readonly tags: number;
  /** Objects that the repos can read, each once per repo. */
  readonly refs: number;
  /** The length of these in bytes. */
  readonly ref_bytes: number;
  /** Refs whose bytes an audit found damaged. */
  readonly damaged_refs: number;
  /** Objects that a repo's packs bring though the repo had them: `pack_objects` less `refs`. */
  readonly repeated_objects: number;
  /** Bytes of packs that no ref points at: history, headers, repeated objects. */
  readonly other_bytes: number;
  /** Objects that at least one repo can read, each once. */
  readonly objects: number;
  /** The length of these in bytes. */
  readonly object_bytes: number;
}

/**
 * Counts what one repo has, or all repos that were not deleted.
 *
 * Reads every ref, so it takes as long as that takes.
 */
export async function readStats(
  database: Database,
  { repoId }: { readonly repoId?: string } = {},
): Promise<Stats> {
  const { sql } = database;
  const which = repoId === undefined
    ? sql`select repo_id from musehub_repos where deleted_at is null`
    : sql`select repo_id from musehub_repos where repo_id = ${repoId}`;
  const [row] = await execute(
    database,
    sql<Stats[]>`
      with repos as materialized (${which}),
      packs as (
        select count(*) as packs, coalesce(sum(size_bytes), 0)::bigint as pack_bytes,
          coalesce(sum(objects), 0)::bigint as pack_objects,
          coalesce(sum(commits), 0)::bigint as commits,
          coalesce(sum(snapshots), 0)::bigint as snapshots,
          coalesce(sum(tags), 0)::bigint as tags
        from musehub_mpacks join repos using (repo_id)
      ), by_object as (
        select count(*) as refs, sum(size_bytes) as ref_bytes, max(size_bytes) as object_bytes,
          count(damaged_at) as damaged
        from musehub_object_refs join repos using (repo_id)
        group by object_id
      ), refs as (
        select coalesce(sum(refs), 0)::bigint as refs,
          coalesce(sum(ref_bytes), 0)::bigint as ref_bytes,
          coalesce(sum(damaged), 0)::bigint as damaged_refs,
          count(*) as objects, coalesce(sum(object_bytes), 0)::bigint as object_bytes
        from by_object
      )
      select (select count(*) from repos) as repos, packs.*,
        refs, ref_bytes, damaged_refs, pack_objects - refs as repeated_objects,
        pack_bytes - ref_bytes as other_bytes, objects, object_bytes
      from packs, refs`,
    { action: "count what there is", deadlineMs: DEADLINE_MS },
  );
  return row;
}
