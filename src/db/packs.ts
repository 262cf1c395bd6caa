import type { Database } from "./client/database.ts";

/** An indexed mpack of a repo. */
export interface IndexedMpack {
  /** Key of the mpack's blob in the store. */
  readonly blobKey: string;
  /** The version of the blob that was indexed. */
  readonly etag: string;
  /** Length in bytes. */
  readonly sizeBytes: number;
}

/** Finds an indexed mpack of a repo by its key. */
export async function findMpack(
  db: Database,
  { repoId, mpackKey }: { readonly repoId: string; readonly mpackKey: string },
): Promise<IndexedMpack | undefined> {
  const [row] = await db.query<IndexedMpack>("find an mpack")`
    select blob_key as "blobKey", etag, size_bytes as "sizeBytes" from musehub_mpacks
    where repo_id = ${repoId} and mpack_key = ${mpackKey}`;
  return row;
}

/** The key of an mpack's blob in the store, of any repo that has not been deleted. */
export async function findBlobOf(db: Database, mpackKey: string): Promise<string | undefined> {
  const [row] = await db.query<{ blob_key: string }>("find the blob of an mpack")`
    select m.blob_key from musehub_mpacks m join musehub_repos r on r.repo_id = m.repo_id
    where m.mpack_key = ${mpackKey} and m.blob_key is not null and r.deleted_at is null
    order by m.indexed_at desc nulls last, m.repo_id limit 1`;
  return row?.blob_key;
}

/** Lists the repos with at least so many mpacks, those with the most first. */
export async function reposWithMany(db: Database, minPacks: number): Promise<string[]> {
  const rows = await db.query<{ repo_id: string }>("look for repos with many mpacks")`
    select m.repo_id from musehub_mpacks m join musehub_repos r on r.repo_id = m.repo_id
    where r.deleted_at is null
    group by m.repo_id having count(*) >= ${minPacks}::bigint
    order by count(*) desc, m.repo_id`;
  return rows.map((row) => row.repo_id);
}

/**
 * Notes that a repo needs what one of its mpacks holds only as long as a branch or tag reaches it, as
 * if the mpack had come by a push. Its history must have been read. When this is so of all mpacks of
 * the repo, gc collects in it.
 *
 * @returns How many other mpacks of the repo are needed whatever reaches them.
 */
export async function makeCollectable(
  db: Database,
  { repoId, mpackKey }: { readonly repoId: string; readonly mpackKey: string },
): Promise<number> {
  const [{ others }] = await db.query<{ others: number }>("let gc collect from an mpack")`
    with others as (
      select count(*)::int as others from musehub_mpacks
      where repo_id = ${repoId} and mpack_key <> ${mpackKey} and is_push is not true
    ), made as (
      update musehub_mpacks set is_push = true
      where repo_id = ${repoId} and mpack_key = ${mpackKey}
    ), unmixed as (
      update mpackd_collections c set is_mixed = false from others
      where c.repo_id = ${repoId} and c.is_mixed and others.others = 0
    )
    select others from others`;
  return others;
}
