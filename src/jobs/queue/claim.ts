import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import { DEFAULT_MAX_ATTEMPTS, type Job } from "./job.ts";
import { claimedColumns } from "./job_columns.ts";

/** Whose jobs to take, and how many. */
export interface ClaimOptions {
  /** The name to leave on the row, for people. */
  readonly worker: string;
  /** The job types that this worker can handle; letters, digits, dots and dashes. */
  readonly jobTypes: readonly string[];
  /** How long the lease lasts unless it is renewed, in milliseconds. */
  readonly leaseMs: number;
  /** Most jobs to take, 1 or more. */
  readonly limit: number;
  /** Most jobs of one repo to have running, everywhere. Two claims at one moment may exceed it. */
  readonly perRepo: number;
  /** Take this job only, even if its time has not come or its attempts are spent: somebody asked. */
  readonly jobId?: string;
  /** Names of workers known to be gone: their jobs are taken before the lease lapses. */
  readonly takeOver?: readonly string[];
}

/** More candidates are looked at than taken, for those that others lock or a full repo rules out. */
const CANDIDATES_PER_JOB = 2;
const MIN_LIMIT = 16;

/**
 * Takes jobs that wait and jobs whose worker let the lease lapse.
 *
 * The attempt is counted here, so that a job which kills its worker ends too: past `max_attempts`
 * it fails with `attempts-exhausted` instead of being claimed. A job whose twin (same repo, type
 * and mpack) runs is passed over. A running row without a lease is some other program's to finish.
 *
 * Looks at the head of the queue. Only if repos that have their share already fill that, every repo
 * is asked for its own head: ten thousand jobs of one repo cost the others nothing.
 */
export async function claim(database: Database, options: ClaimOptions): Promise<Job[]> {
  const { worker, jobTypes, leaseMs, limit, perRepo, jobId, takeOver = [] } = options;
  const { sql } = database;
  // Numbers in the text, few of them: of a LIMIT that is a parameter the planner believes the worst,
  // and plans each claim anew, which takes longer than to run it.
  const most = 2 ** Math.ceil(Math.log2(Math.max(limit, MIN_LIMIT)));
  const candidates = sql.unsafe(`${CANDIDATES_PER_JOB * most}`);
  // A worker that is not gone after all meets the raised fence, as if its lease had lapsed.
  const isLapsed = takeOver.length === 0
    ? sql`lease_expires_at <= now()`
    : sql`lease_expires_at is not null
        and (lease_expires_at <= now() or locked_by in (
          select jsonb_array_elements_text(${JSON.stringify(takeOver)}::text::jsonb)))`;
  // "is not false" keeps the planner off the index of open jobs, which it likes while the table is
  // young and which reads every job that waits.
  const isOurs = sql`(job_type = any(${arrayLiteral(jobTypes)}::text[])) is not false`;
  const isNamed = jobId === undefined ? sql`true` : sql`job_id = ${jobId}`;
  const isDue = jobId === undefined ? sql`(run_at is null or run_at <= now())` : isNamed;
  const order = sql`coalesce(priority, 0) desc, created_at, job_id`;
  const columns = sql`job_id, repo_id, job_type, priority, created_at,
    mpackd_mpack_key(payload::text) as mpack_key`;
  const rows = await execute(
    database,
    // Each CTE is materialized: flattened into a join, LIMIT with FOR UPDATE may lock more rows
    // than it returns.
    sql<(Job & { status: string })[]>`
      with recursive busy as materialized (
        select repo_id, job_type, mpackd_mpack_key(payload::text) as mpack_key
        from musehub_background_jobs
        where status = 'running' and (${isLapsed}) is not true
      ), shares as materialized (
        select repo_id, count(*) as running from busy group by repo_id
      ), full_repos as materialized (
        select repo_id from shares where running >= ${perRepo}::integer
      ), lapsed as materialized (
        select ${columns} from musehub_background_jobs
        where status = 'running' and ${isOurs} and ${isLapsed} and ${isNamed}
        limit ${candidates}
      ), head as materialized (
        select ${columns} from musehub_background_jobs
        where status = 'pending' and ${isOurs} and ${isDue}
        order by ${order}
        limit ${candidates}
      ), shortage as materialized (
        select from (select repo_id, count(*) as waiting from head group by repo_id) as own
        left join shares using (repo_id)
        having sum(waiting) = ${candidates}
          and sum(least(waiting, greatest(${perRepo}::integer - coalesce(running, 0), 0)))
            < ${limit}::integer
      ), repos as (
        select min(repo_id) as repo_id from musehub_background_jobs
        where status = 'pending' and exists (select from shortage)
        union all
        select (select min(repo_id) from musehub_background_jobs j
          where status = 'pending' and j.repo_id > repos.repo_id)
        from repos where repos.repo_id is not null
      ), heads as materialized (
        select own.* from repos cross join lateral (
          select ${columns} from musehub_background_jobs j
          where status = 'pending' and j.repo_id = repos.repo_id and ${isOurs} and ${isDue}
          order by repo_id, ${order}
          limit ${sql.unsafe(`${most}`)}
        ) own
        where repos.repo_id is not null
          and repos.repo_id not in (select repo_id from full_repos)
      ), ranked as materialized (
        select job_id,
          row_number() over (partition by repo_id order by ${order})
            + coalesce(running, 0) as place_in_repo,
          row_number() over (
            partition by repo_id, job_type, coalesce(mpack_key, job_id) order by ${order}
          ) as place_among_twins
        from (select * from lapsed union select * from head union select * from heads) as found
        left join shares using (repo_id)
        where not exists (
          select from busy where busy.repo_id = found.repo_id and busy.job_type = found.job_type
            and busy.mpack_key = found.mpack_key)
      ), taken as materialized (
        select j.job_id, j.status = 'running' as is_rescue,
          ${
      jobId === undefined
    }::boolean and coalesce(j.attempt, 0) >= coalesce(j.max_attempts, ${DEFAULT_MAX_ATTEMPTS}::integer)
            as is_spent,
          coalesce(j.cancel_requested, false) as is_cancelled
        from musehub_background_jobs j
        join ranked on ranked.job_id = j.job_id
        where place_in_repo <= ${perRepo}::integer and place_among_twins = 1
          and (j.status = 'pending' or j.status = 'running' and ${isLapsed})
        order by coalesce(j.priority, 0) desc, j.created_at, j.job_id
        limit ${limit}::integer
        for update of j skip locked
      ), claimed as (
        update musehub_background_jobs j set
          status = case when is_cancelled then 'cancelled' when is_spent then 'failed'
            else 'running' end,
          attempt = coalesce(j.attempt, 0) + case when is_spent or is_cancelled then 0 else 1 end,
          fence = coalesce(j.fence, 0) + 1,
          lease_expires_at = case when not is_spent and not is_cancelled
            then now() + ${leaseMs}::float8 * interval '1 ms' end,
          locked_by = case when is_spent or is_cancelled then j.locked_by else ${worker} end,
          started_at = case when is_spent or is_cancelled then j.started_at else now() end,
          finished_at = case when is_spent or is_cancelled then now() end,
          checkpoint = case when not is_spent and not is_cancelled then j.checkpoint end,
          last_error = case when is_spent and not is_cancelled then json_build_object(
              'code', 'attempts-exhausted',
              'message', format('the job was claimed %s times and never finished', j.attempt),
              'retryable', false, 'at', now())
            else j.last_error end
        from taken
        where j.job_id = taken.job_id
        returning j.*, is_rescue,
          case when is_spent or is_cancelled then mpackd_drop_staged(j.job_id) end as dropped
      )
      select j.status, j.is_rescue as "isRescue", ${claimedColumns(sql, leaseMs)}
      from claimed j
      order by coalesce(j.priority, 0) desc, j.created_at, j.job_id`,
    { action: "claim jobs" },
  );
  return rows.filter(({ status }) => status === "running").map(({ status: _, ...job }) => job);
}
