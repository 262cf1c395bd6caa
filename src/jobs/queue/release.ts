import type { Database } from "../../db/database.ts";
import { execute } from "../../db/execute.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";

/**
 * Puts a running job back as if it had not been claimed, for a worker that has to go: the attempt
 * is given back, checkpoint and staged rows stay, and any worker may take it at once.
 *
 * @throws {LeaseLostError} If the job is another worker's now.
 */
export async function release(database: Database, lease: Lease): Promise<void> {
  const rows = await execute(
    database,
    database.sql`
      with released as (
        update musehub_background_jobs set
          status = 'pending', attempt = greatest(attempt - 1, 0), run_at = null,
          lease_expires_at = null
        where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
        returning job_id
      )
      -- The trigger wakes workers for new rows only.
      select pg_notify('mpackd_jobs', '') from released`,
    { action: "release a job" },
  );
  if (rows.length === 0) throw leaseLost("release a job", lease);
}
