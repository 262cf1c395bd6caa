/**
 * What a walk over a repo's history has reached, one row for each id. Ids of objects are bare: a
 * manifest may write one with its prefix, and the ref without.
 *
 * @module
 */

import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import { isPlaced, placeColumns } from "./places.ts";
import type { SnapshotRow } from "./snapshots.ts";

/** Reading a whole repo takes minutes. */
const SCAN_DEADLINE_MS = 10 * 60_000;
/** A walk that is older was killed. */
const OLD_WALK = "1 day";

/** One walk over one repo. */
export interface Walk {
  readonly repoId: string;
  readonly walkId: string;
  /** Rows from this time on are kept, and so is all that they need. */
  readonly before: string;
}

/** Starts the marks of a walk. Without the mark made here, nothing is deleted. */
export async function startMarks(db: Database, { walkId }: Walk): Promise<void> {
  await db.query<object>("start a walk")`
    insert into mpackd_marks (walk_id, kind, id) values (${walkId}, 'walk', '')`;
}

/** Deletes the marks of a walk, and those of walks that were killed. */
export async function dropMarks(db: Database, walkId: string): Promise<void> {
  await db.query<object>("end a walk", { deadlineMs: SCAN_DEADLINE_MS })`
    delete from mpackd_marks
    where walk_id = ${walkId} or created_at < now() - ${OLD_WALK}::interval`;
}

/** Marks some thousands of ids. */
export async function markIds(
  db: Database,
  { walkId }: Walk,
  kind: "commit" | "object",
  ids: readonly string[],
): Promise<void> {
  await db.query<object>("mark what is reached")`
    insert into mpackd_marks (walk_id, kind, id)
    select ${walkId}, ${kind}, u.id from unnest(${arrayLiteral(ids)}::text[]) as u(id)
    order by u.id collate "C"
    on conflict do nothing`;
}

/**
 * The commits that a walk begins at: what branches and tags point at, and the last ones of what was
 * pushed since.
 */
export async function rootCommits(db: Database, { repoId, before }: Walk): Promise<string[]> {
  const rows = await db.query<{ id: string }>("find the roots of a history", {
    deadlineMs: SCAN_DEADLINE_MS,
  })`
    select head_commit_id as id from musehub_branches
    where repo_id = ${repoId} and head_commit_id is not null
    union select commit_id from musehub_tags where repo_id = ${repoId}
    union select c.commit_id from musehub_commit_refs c
    where c.repo_id = ${repoId} and c.created_at >= ${before}::timestamptz and not exists (
        select from musehub_commit_graph child
        where child.repo_id = ${repoId} and child.parent_ids[1] = c.commit_id)
      and not exists (
        select from musehub_commit_graph child
        where child.repo_id = ${repoId} and child.parent_ids[2] = c.commit_id
          and child.parent_ids[2] is not null)`;
  return rows.map(({ id }) => id);
}

/**
 * Marks the snapshots of the marked commits, young ones, and those that they are deltas over.
 *
 * @returns How many are not there.
 */
export async function markSnapshots(
  db: Database,
  { repoId, walkId, before }: Walk,
): Promise<number> {
  const scan = { deadlineMs: SCAN_DEADLINE_MS };
  await db.query<object>("mark the snapshots of commits", scan)`
    insert into mpackd_marks (walk_id, kind, id)
    select distinct ${walkId}, 'snapshot', c.snapshot_id
    from mpackd_marks m
    join musehub_commit_refs c on c.repo_id = ${repoId} and c.commit_id = m.id
    where m.walk_id = ${walkId} and m.kind = 'commit'
    union
    select ${walkId}, 'snapshot', s.snapshot_id from musehub_snapshot_refs s
    where s.repo_id = ${repoId} and s.created_at >= ${before}::timestamptz
    on conflict do nothing`;
  await db.query<object>("mark what deltas build upon", scan)`
    with recursive bases as (
      select s.parent_snapshot_id as id from mpackd_marks m
      join musehub_snapshot_refs s on s.repo_id = ${repoId} and s.snapshot_id = m.id
      where m.walk_id = ${walkId} and m.kind = 'snapshot' and s.parent_snapshot_id is not null
      union
      select s.parent_snapshot_id from bases
      join musehub_snapshot_refs s on s.repo_id = ${repoId} and s.snapshot_id = bases.id
      where s.parent_snapshot_id is not null
    )
    insert into mpackd_marks (walk_id, kind, id) select ${walkId}, 'base', id from bases
    on conflict do nothing`;
  const [{ missing }] = await db.query<{ missing: number }>("look for missing snapshots", scan)`
    select count(*)::bigint as missing from mpackd_marks m
    where m.walk_id = ${walkId} and m.kind in ('snapshot', 'base') and not exists (
      select from musehub_snapshot_refs s where s.repo_id = ${repoId} and s.snapshot_id = m.id)`;
  return missing;
}

/** Where a page of marked snapshots ended. */
export interface SnapshotPosition {
  readonly mpackId: number;
  readonly recordOffset: number;
}

/** Reads one page of the snapshots that a walk has marked, in the order of their bytes. */
export function markedSnapshots(
  db: Database,
  { repoId, walkId }: Walk,
  { after, limit }: { readonly after: SnapshotPosition; readonly limit: number },
): Promise<(SnapshotRow & SnapshotPosition)[]> {
  return db.query<SnapshotRow & SnapshotPosition>("list marked snapshots", {
    deadlineMs: SCAN_DEADLINE_MS,
  })`
    select r.snapshot_id as "snapshotId", r.parent_snapshot_id as "parentSnapshotId",
      r.mpack_id as "mpackId", ${placeColumns(db)}
    from musehub_snapshot_refs r
    join mpackd_marks k
      on k.walk_id = ${walkId} and k.kind = 'snapshot' and k.id = r.snapshot_id
    join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
    where r.repo_id = ${repoId} and ${isPlaced(db)}
      and (r.mpack_id, r.record_offset)
        > (${after.mpackId}::bigint, ${after.recordOffset}::bigint)
    order by r.mpack_id, r.record_offset limit ${limit}::bigint`;
}
