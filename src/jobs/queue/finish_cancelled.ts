import type { Database } from "../../db/client/database.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";

/**
 * Ends a running job as cancelled, and deletes its staged rows.
 *
 * @throws {LeaseLostError} If another worker has the job now.
 */
export async function finishCancelled(db: Database, lease: Lease): Promise<void> {
  const rows = await db.query("end a cancelled job")`
    with ended as (
      update musehub_background_jobs set
        status = 'cancelled', finished_at = now(), lease_expires_at = null, checkpoint = null
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
      returning job_id, fence, attempt, locked_by, started_at,
        mpackd_drop_staged(job_id) as dropped
    ), noted as (
      insert into mpackd_attempts (job_id, fence, attempt, worker, started_at, outcome)
      select job_id, fence, attempt, locked_by, started_at, 'cancelled' from ended
      on conflict do nothing
    )
    select dropped from ended`;
  if (rows.length === 0) throw leaseLost("end a cancelled job", lease);
}
