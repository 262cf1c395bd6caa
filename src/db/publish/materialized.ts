import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";
import type { Lease } from "../lease.ts";

/** Whether the repo has a ref for the object, and no audit found it damaged. */
export async function hasValidRef(
  db: Database,
  repoId: string,
  objectId: string,
): Promise<boolean> {
  const rows = await db.query<object>("look a ref up")`
    select from musehub_object_refs
    where repo_id = ${repoId} and object_id = ${objectId} and damaged_at is null`;
  return rows.length > 0;
}

/**
 * Finds the ids of a refused pack whose blobs can be deleted: the repo has no ref for them, and no
 * other pack of the repo is waiting or being indexed. None if another worker holds the job by now.
 */
export async function unwantedObjects(
  db: Database,
  lease: Lease,
  repoId: string,
  objectIds: readonly string[],
): Promise<string[]> {
  const rows = await db.query<{ id: string }>("look for unwanted objects")`
    select u.object_id as id from unnest(${arrayLiteral(objectIds)}::text[]) as u(object_id)
    where exists (
        select from musehub_background_jobs
        where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running')
      and not exists (
        select from musehub_background_jobs
        where repo_id = ${repoId} and job_type = 'mpack.index' and job_id <> ${lease.jobId}
          and status in ('pending', 'running'))
      and not exists (
        select from musehub_object_refs
        where repo_id = ${repoId}
          and object_id in (u.object_id, 'sha256:' || u.object_id, substr(u.object_id, 8)))`;
  return rows.map(({ id }) => id);
}

/** The ids in one staged batch of a job. None if the batch is missing. */
export async function stagedIds(
  db: Database,
  jobId: string,
  batch: number,
): Promise<readonly string[]> {
  const [row] = await db.query<{ ids: string }>("read a staged batch")`
    select array_to_string(object_ids, ',') as ids from mpack_staged_objects
    where job_id = ${jobId} and batch = ${batch}::integer`;
  return row === undefined || row.ids === "" ? [] : row.ids.split(",");
}
