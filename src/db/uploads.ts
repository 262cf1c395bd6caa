import type { Database } from "./client/database.ts";
import type { Row } from "./schema/tables.ts";

/** Uploads in parts that one repo may have open: parts cost the store's owner money. */
const MAX_OPEN = 100;

/** Whose mpack it is. */
export interface UploadPlace {
  readonly repoId: string;
  readonly mpackKey: string;
}

/** An upload in parts. */
export interface UploadRow extends UploadPlace {
  /** The store's id of the upload. */
  readonly uploadId: string;
  /** The declared length of the mpack in bytes. */
  readonly sizeBytes: number;
  /** Length of every part but the last in bytes. */
  readonly partBytes: number;
}

/** Finds the open upload of an mpack, and notes that it is in use. */
export async function touchUpload(
  db: Database,
  { repoId, mpackKey }: UploadPlace,
): Promise<UploadRow | undefined> {
  const [row] = await db.query<Row<"mpackd_uploads">>("find an upload")`
    update mpackd_uploads set touched_at = now()
    where repo_id = ${repoId} and mpack_key = ${mpackKey} returning *`;
  return row && {
    repoId,
    mpackKey,
    uploadId: row.upload_id,
    sizeBytes: row.size_bytes,
    partBytes: row.part_bytes,
  };
}

/**
 * Notes a new upload. Changes nothing if the mpack has an open upload, or the repo has 100 of them.
 *
 * @returns Whether it was noted.
 */
export async function insertUpload(db: Database, row: UploadRow): Promise<boolean> {
  const { repoId, mpackKey, uploadId, sizeBytes, partBytes } = row;
  const inserted = await db.query<object>("note an upload")`
    insert into mpackd_uploads (repo_id, mpack_key, upload_id, size_bytes, part_bytes)
    select ${repoId}, ${mpackKey}, ${uploadId}, ${sizeBytes}::bigint, ${partBytes}::bigint
    where (select count(*) from mpackd_uploads where repo_id = ${repoId}) < ${MAX_OPEN}::int
    on conflict do nothing
    returning 1`;
  return inserted.length > 0;
}

/** Forgets an upload, unless a newer one has taken its place. */
export async function forgetUpload(
  db: Database,
  { repoId, mpackKey, uploadId }: UploadPlace & { readonly uploadId: string },
): Promise<void> {
  await db.query<object>("forget an upload")`
    delete from mpackd_uploads
    where repo_id = ${repoId} and mpack_key = ${mpackKey} and upload_id = ${uploadId}`;
}

/** Forgets the uploads that nobody has asked for since `graceMs` milliseconds. */
export async function forgetOldUploads(
  db: Database,
  { graceMs }: { readonly graceMs: number },
): Promise<void> {
  await db.query<object>("forget old uploads")`
    delete from mpackd_uploads where touched_at < now() - ${graceMs}::float8 * interval '1 ms'`;
}

/** Whether a client has asked for this upload in the last `graceMs` milliseconds. */
export async function isUploadOpen(
  db: Database,
  { uploadId, graceMs }: { readonly uploadId: string; readonly graceMs: number },
): Promise<boolean> {
  const rows = await db.query<object>("look for an open upload")`
    select 1 from mpackd_uploads where upload_id = ${uploadId}
      and touched_at >= now() - ${graceMs}::float8 * interval '1 ms'`;
  return rows.length > 0;
}
