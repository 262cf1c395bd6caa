import type { Database } from "../../db/client/database.ts";
import { type Lease, leaseLost } from "../../db/lease.ts";

/**
 * Replaces the payload of a running job, and extends its lease.
 *
 * @throws {LeaseLostError} If another worker has the job now.
 */
export async function setPayload(
  db: Database,
  lease: Lease,
  { payload, leaseMs }: { readonly payload: object; readonly leaseMs: number },
): Promise<void> {
  const rows = await db.query("name the pack of a job")`
    update musehub_background_jobs set
      payload = ${JSON.stringify(payload)}::text::json,
      lease_expires_at = now() + ${leaseMs}::float8 * interval '1 ms'
    where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
    returning job_id`;
  if (rows.length === 0) throw leaseLost("name the pack of a job", lease);
}
