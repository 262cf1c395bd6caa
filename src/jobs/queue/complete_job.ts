import type { Database } from "../../db/client/database.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";

/**
 * Ends a job that has nothing to publish. A job that has is ended by the publish.
 *
 * @throws {LeaseLostError} If another worker has the job now.
 */
export async function completeJob(db: Database, lease: Lease, result: object): Promise<void> {
  const rows = await db.query("complete a job")`
    update musehub_background_jobs set
      status = 'done', finished_at = now(), lease_expires_at = null, checkpoint = null,
      last_error = null, cancel_requested = null, result = ${JSON.stringify(result)}::text::json
    where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
    returning job_id`;
  if (rows.length === 0) throw leaseLost("complete a job", lease);
}
