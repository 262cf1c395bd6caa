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

/** Lists the repos with at least so many mpacks, those with the most first. */
export async function reposWithMany(db: Database, minPacks: number): Promise<string[]> {
  const rows = await db.query<{ repo_id: string }>("look for repos with many mpacks")`
    select m.repo_id from musehub_mpacks m join musehub_repos r on r.repo_id = m.repo_id
    where r.deleted_at is null
    group by m.repo_id having count(*) >= ${minPacks}::bigint
    order by count(*) desc, m.repo_id`;
  return rows.map((row) => row.repo_id);
}
