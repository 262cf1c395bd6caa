import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** An indexed pack of a repo. */
export interface IndexedMpack {
  /** Its key in the store. */
  readonly blobKey: string;
  /** The version that was indexed. */
  readonly etag: string;
  /** Its length in bytes. */
  readonly sizeBytes: number;
}

/** Looks up whether a repo has a pack. */
export async function findMpack(
  database: Database,
  { repoId, mpackKey }: { readonly repoId: string; readonly mpackKey: string },
): Promise<IndexedMpack | undefined> {
  const [row] = await execute(
    database,
    database.sql<IndexedMpack[]>`
      select blob_key as "blobKey", etag, size_bytes as "sizeBytes" from musehub_mpacks
      where repo_id = ${repoId} and mpack_key = ${mpackKey}`,
    { action: "look a pack up" },
  );
  return row;
}
