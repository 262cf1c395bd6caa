import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import { type Heartbeat, type Lease, leaseLost } from "../../db/lease.ts";

/** How to renew. */
export interface RenewOptions {
  /** How long the lease shall last from now, in milliseconds. */
  readonly leaseMs: number;
  /** How far the job is; what is there stays if left out. */
  readonly progress?: object;
  /** Milliseconds the statement may take: less than what is left of the lease. */
  readonly deadlineMs?: number;
}

/**
 * Extends the lease by the database's clock.
 *
 * @throws {LeaseLostError} If the job is another worker's now; stop writing at once.
 */
export async function renew(
  database: Database,
  lease: Lease,
  { leaseMs, progress, deadlineMs }: RenewOptions,
): Promise<Heartbeat> {
  const [row] = await execute(
    database,
    database.sql<Heartbeat[]>`
      update musehub_background_jobs set
        lease_expires_at = now() + ${leaseMs}::float8 * interval '1 ms',
        progress = coalesce(
          ${progress === undefined ? null : JSON.stringify(progress)}::text::json, progress)
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'running'
      returning coalesce(cancel_requested, false) as "cancelRequested"`,
    { action: "renew a lease", deadlineMs },
  );
  if (row === undefined) throw leaseLost("renew a lease", lease);
  return row;
}
