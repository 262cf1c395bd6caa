import type { Database } from "../../db/client/database.ts";
import { isForwarded } from "../../db/shards/forwarded.ts";
import type { JobStatus } from "./job.ts";

/** The queue at one moment. */
export interface QueueCounts {
  /** Jobs by status, zeros included. */
  readonly byStatus: Readonly<Record<JobStatus, number>>;
  /** How long a job that could be claimed now has been able to, in milliseconds; 0 without one. */
  readonly oldestPendingMs: number;
}

/** Counts jobs by status, of the given types or of all; not those that a shard counts. */
export async function countJobs(
  db: Database,
  { jobTypes }: { readonly jobTypes?: readonly string[] } = {},
): Promise<QueueCounts> {
  const elsewhere = await isForwarded(db, "musehub_background_jobs");
  const rows = await db.build(
    "count jobs",
    (kysely, sql) =>
      kysely.selectFrom("musehub_background_jobs")
        .select([
          "status",
          sql<number>`count(*)`.as("jobs"),
          sql<
            number | null
          >`(1000 * extract(epoch from now() - min(greatest(created_at, run_at)) filter (
          where status = 'pending' and isfinite(created_at)
            and (run_at is null or run_at <= now()))))::float8`.as("age"),
        ])
        .where(sql<boolean>`not ${sql.raw(elsewhere)}`)
        .$if(jobTypes !== undefined, (jobs) => jobs.where("job_type", "in", jobTypes!))
        .groupBy("status"),
  );
  const byStatus = { pending: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
  let oldestPendingMs = 0;
  for (const { status, jobs, age } of rows) {
    if (Object.hasOwn(byStatus, status)) byStatus[status as JobStatus] = jobs;
    if (age !== null) oldestPendingMs = Math.max(0, age);
  }
  return { byStatus, oldestPendingMs };
}
