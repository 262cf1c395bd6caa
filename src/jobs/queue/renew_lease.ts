import type { Database } from "../../db/client/database.ts";
import { type Heartbeat, type Lease, leaseLost } from "../../db/lease.ts";

/** How to renew. */
export interface RenewOptions {
  /** Milliseconds from now until the lease expires. */
  readonly leaseMs: number;
  /** The progress to store; left out, the stored one stays. */
  readonly progress?: object;
  /** Milliseconds the statement may take: less than what is left of the lease. */
  readonly deadlineMs?: number;
}

/**
 * Extends a lease by the database's clock.
 *
 * @throws {LeaseLostError} If another worker has the job now; stop writing at once.
 */
export async function renewLease(
  db: Database,
  lease: Lease,
  { leaseMs, progress, deadlineMs }: RenewOptions,
): Promise<Heartbeat> {
  const [row] = await db.query<Heartbeat>("renew a lease", { deadlineMs })`
    update musehub_background_jobs set
      lease_expires_at = now() + ${leaseMs}::float8 * interval '1 ms',
      progress = coalesce(
        ${progress === undefined ? null : JSON.stringify(progress)}::text::json, progress)
    where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
    returning coalesce(cancel_requested, false) as "cancelRequested"`;
  if (row === undefined) throw leaseLost("renew a lease", lease);
  return row;
}
