import type { Sql } from "kysely";
import type { Viewer } from "../../db/activity.ts";
import { quotedLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { FIRST_TIME, LAST_TIME } from "../../db/client/parse_time.ts";
import { isForwarded } from "../../db/shards/forwarded.ts";
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
  readonly visibleTo?: Viewer;
  /** Whether the catalog lists jobs that it has forwarded to a shard, which lists them too. Default false. */
  readonly forwarded?: boolean;
  /** How many at most. Default 100. */
  readonly limit?: number;
  /** Only jobs that come after this one in the list's order. */
  readonly after?: { readonly createdAt: Date; readonly jobId: string };
}

/** Lists jobs, newest first. */
export async function listJobs(db: Database, options: ListOptions = {}): Promise<JobRow[]> {
  const { limit = 100, after } = options, elsewhere = await elsewhereOf(db, options);
  const rows = await db.build("list jobs", (kysely, sql) => {
    // `after` is made of a Date, so the order must not depend on what a Date cannot hold.
    const createdAt = sql<Date>`least(greatest(date_trunc('milliseconds', j.created_at),
      ${FIRST_TIME}::timestamptz), ${LAST_TIME}::timestamptz)`;
    let jobs = kysely.selectFrom("musehub_background_jobs as j").selectAll("j")
      .where(isListed(sql, options, elsewhere));
    if (after !== undefined) {
      jobs = jobs.where(
        sql<boolean>`(${createdAt}, j.job_id)
          < (${after.createdAt.toISOString()}::timestamptz, ${after.jobId})`,
      );
    }
    return jobs.orderBy(createdAt, "desc").orderBy("j.job_id", "desc").limit(limit);
  });
  return rows.map(toJobRow);
}

/**
 * Merges the lists of the catalog and its shards, which are in order, newest first, as one list has
 * them. A job that was forwarded between two of these looks is in both; the shard's row counts.
 */
export function mergeJobs(lists: readonly (readonly JobRow[])[], limit: number): JobRow[] {
  if (lists.length === 1) return [...lists[0]];
  const byId = new Map(lists.flat().map((job) => [job.jobId, job]));
  return [...byId.values()].sort((a, b) =>
    b.createdAt.getTime() - a.createdAt.getTime() || (a.jobId < b.jobId ? 1 : -1)
  ).slice(0, limit);
}

/** Counts the jobs that `listJobs()` would list without a limit. */
export async function countListed(db: Database, options: ListOptions): Promise<number> {
  const elsewhere = await elsewhereOf(db, options);
  const [{ jobs }] = await db.build(
    "count jobs",
    (kysely, sql) =>
      kysely.selectFrom("musehub_background_jobs as j")
        .select(sql<number>`count(*)`.as("jobs"))
        .where(isListed(sql, options, elsewhere)),
  );
  return jobs;
}

/** A condition in SQL: which jobs a shard lists. */
async function elsewhereOf(db: Database, { forwarded = false }: ListOptions): Promise<string> {
  return forwarded ? "false" : await isForwarded(db, "j");
}

function isListed(sql: Sql, options: ListOptions, elsewhere: string) {
  const { status, repoId, jobType, code, search, visibleTo } = options;
  const conditions = [sql`not ${sql.raw(elsewhere)}`];
  if (status !== undefined) conditions.push(sql`j.status = ${status}`);
  if (repoId !== undefined) conditions.push(sql`j.repo_id = ${repoId}`);
  if (jobType !== undefined) conditions.push(sql`j.job_type = ${jobType}`);
  if (code !== undefined) conditions.push(sql`j.last_error->>'code' = ${code}`);
  if (search !== undefined) {
    conditions.push(sql`(starts_with(j.job_id, ${search})
      or starts_with(mpackd_mpack_key(j.payload::text), ${search}))`);
  }
  if (visibleTo !== undefined) {
    const { handle, identityId, repoIds } = visibleTo;
    const isCollaborator = repoIds === undefined
      ? sql`exists (select from mpackd_collaborators c
        where c.repo_id = r.repo_id and c.identity_id = ${identityId})`
      : sql`r.repo_id = any(${quotedLiteral(repoIds)}::text[])`;
    conditions.push(sql`j.repo_id in (
      select r.repo_id from musehub_repos r
      where r.deleted_at is null and (r.owner = ${handle} or ${isCollaborator}))`);
  }
  return sql<boolean>`${sql.join(conditions, sql` and `)}`;
}
