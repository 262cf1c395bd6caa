import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";

/**
 * Ends a job whose work left nothing to publish; `publish` ends the others itself.
 *
 * @throws {LeaseLostError} If the job is another worker's now.
 */
export async function complete(database: Database, lease: Lease, result: object): Promise<void> {
  const rows = await execute(
    database,
    database.sql`
      update musehub_background_jobs set
        status = 'done', finished_at = now(), lease_expires_at = null, checkpoint = null,
        last_error = null, cancel_requested = null, result = ${JSON.stringify(result)}::text::json
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
      returning job_id`,
    { action: "complete a job" },
  );
  if (rows.length === 0) throw leaseLost("complete a job", lease);
}
