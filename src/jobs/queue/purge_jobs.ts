import type { Database } from "../../db/client/database.ts";

/** What to purge. */
export interface PurgeOptions {
  /** Jobs that ended longer ago than this are deleted, in milliseconds. */
  readonly olderThanMs: number;
  /** Only these, 1,000 at most. Default: all. */
  readonly jobIds?: readonly string[];
  /** Most jobs to delete in one statement, so that locks are short. */
  readonly limit: number;
}

/**
 * Deletes jobs that ended long ago. Call it again until it returns less than the limit.
 *
 * @returns How many were deleted.
 */
export async function purgeJobs(
  db: Database,
  { olderThanMs, jobIds, limit }: PurgeOptions,
): Promise<number> {
  const [{ purged }] = await db.build("purge jobs", (kysely, sql) =>
    kysely
      .with((cte) => cte("old").materialized(), (kysely) =>
        kysely.selectFrom("musehub_background_jobs")
          .select("job_id")
          .where("status", "in", ["done", "failed", "cancelled"])
          .where(
            sql<boolean>`finished_at < now() - ${olderThanMs}::float8 * interval '1 ms'`,
          )
          .$if(jobIds !== undefined, (jobs) =>
            jobs.where("job_id", "in", jobIds!))
          .limit(limit)
          .forUpdate()
          .skipLocked())
      .with("staged", (kysely) =>
        kysely.deleteFrom("mpack_staged_objects as s")
          .using("old")
          .whereRef("s.job_id", "=", "old.job_id"))
      .with("attempts", (kysely) =>
        kysely.deleteFrom("mpackd_attempts as a")
          .using("old")
          .whereRef("a.job_id", "=", "old.job_id"))
      .with("purged", (kysely) =>
        kysely.deleteFrom("musehub_background_jobs as j")
          .using("old")
          .whereRef("j.job_id", "=", "old.job_id")
          .returning("j.job_id"))
      .selectFrom("purged")
      .select(sql<number>`count(*)`.as("purged")));
  return purged;
}

/** Counts the jobs that `purgeJobs()` would delete, without a limit. */
export async function countPurged(
  db: Database,
  { olderThanMs }: Pick<PurgeOptions, "olderThanMs">,
): Promise<number> {
  const [{ jobs }] = await db.query<{ jobs: number }>("count jobs to purge")`
    select count(*) as jobs from musehub_background_jobs
    where status in ('done', 'failed', 'cancelled')
      and finished_at < now() - ${olderThanMs}::float8 * interval '1 ms'`;
  return jobs;
}
