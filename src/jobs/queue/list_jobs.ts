import type { Database } from "../../db/client/database.ts";
import { FIRST_TIME, LAST_TIME } from "../../db/client/parse_time.ts";
import type { JobRow, JobStatus } from "./job.ts";
import { toJobRow } from "./job_row.ts";

/** Which jobs to list. */
export interface ListOptions {
  readonly status?: JobStatus;
  readonly repoId?: string;
  readonly jobType?: string;
  /** Only jobs whose last attempt ended with this code. */
  readonly code?: string;
  /** Only jobs whose id or mpack key begins with this. */
  readonly search?: string;
  /** Only jobs of repos that this identity owns or may push to. */
  readonly visibleTo?: { readonly handle: string; readonly identityId: string };
  /** How many at most. Default 100. */
  readonly limit?: number;
  /** Only jobs that come after this one in the list's order. */
  readonly after?: { readonly createdAt: Date; readonly jobId: string };
}

/** Lists jobs, newest first. */
export async function listJobs(db: Database, options: ListOptions = {}): Promise<JobRow[]> {
  const { status, repoId, jobType, code, search, visibleTo, limit = 100, after } = options;
  const rows = await db.build("list jobs", (kysely, sql) => {
    // `after` is made of a Date, so the order must not depend on what a Date cannot hold.
    const createdAt = sql<Date>`least(greatest(date_trunc('milliseconds', j.created_at),
      ${FIRST_TIME}::timestamptz), ${LAST_TIME}::timestamptz)`;
    let jobs = kysely.selectFrom("musehub_background_jobs as j").selectAll("j");
    if (status !== undefined) jobs = jobs.where("j.status", "=", status);
    if (repoId !== undefined) jobs = jobs.where("j.repo_id", "=", repoId);
    if (jobType !== undefined) jobs = jobs.where("j.job_type", "=", jobType);
    if (code !== undefined) jobs = jobs.where(sql<boolean>`j.last_error->>'code' = ${code}`);
    if (search !== undefined) {
      jobs = jobs.where(
        sql<boolean>`(starts_with(j.job_id, ${search})
          or starts_with(mpackd_mpack_key(j.payload::text), ${search}))`,
      );
    }
    if (after !== undefined) {
      jobs = jobs.where(
        sql<boolean>`(${createdAt}, j.job_id)
          < (${after.createdAt.toISOString()}::timestamptz, ${after.jobId})`,
      );
    }
    if (visibleTo !== undefined) {
      jobs = jobs.where("j.repo_id", "in", (eb) =>
        eb.selectFrom("musehub_repos as r")
          .select("r.repo_id")
          .where("r.deleted_at", "is", null)
          .where((eb) =>
            eb.or([
              eb("r.owner", "=", visibleTo.handle),
              eb.exists(
                eb.selectFrom("mpackd_collaborators as c")
                  .select("c.repo_id")
                  .whereRef("c.repo_id", "=", "r.repo_id")
                  .where("c.identity_id", "=", visibleTo.identityId),
              ),
            ])
          ));
    }
    return jobs.orderBy(createdAt, "desc").orderBy("j.job_id", "desc").limit(limit);
  });
  return rows.map(toJobRow);
}
