import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";

/** What to purge. */
export interface PurgeOptions {
  /** Jobs that ended longer ago than this go, in milliseconds. */
  readonly olderThanMs: number;
  /** Most jobs to delete in one statement, so that no lock is held for long. */
  readonly limit: number;
}

/**
 * Deletes jobs that ended long ago. Call it until it returns less than the limit.
 *
 * @returns How many were deleted.
 */
export async function purge(
  database: Database,
  { olderThanMs, limit }: PurgeOptions,
): Promise<number> {
  const [{ purged }] = await execute(
    database,
    database.sql<{ purged: number }[]>`
      with old as materialized (
        select job_id from musehub_background_jobs
        where status in ('done', 'failed', 'cancelled')
          and finished_at < now() - ${olderThanMs}::float8 * interval '1 ms'
        limit ${limit}::integer
        for update skip locked
      ), leftovers as (
        delete from mpack_staged_objects s using old where s.job_id = old.job_id
      ), purged as (
        delete from musehub_background_jobs j using old where j.job_id = old.job_id returning 1
      )
      select count(*)::int as purged from purged`,
    { action: "purge jobs" },
  );
  return purged;
}
