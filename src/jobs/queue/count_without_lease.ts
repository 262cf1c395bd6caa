import type { Database } from "../../db/client/database.ts";

/**
 * Counts running jobs without a lease that ends. Another program runs them, or has left them behind:
 * they are never claimed, and an operator should know of them.
 */
export async function countWithoutLease(db: Database): Promise<number> {
  const [{ jobs }] = await db.query<{ jobs: number }>("count jobs without a lease")`
    select count(*) as jobs from musehub_background_jobs
    where status = 'running' and isfinite(lease_expires_at) is not true`;
  return jobs;
}
