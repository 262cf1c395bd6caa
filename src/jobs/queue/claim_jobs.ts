import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { DEFAULT_MAX_ATTEMPTS, type Job } from "./job.ts";
import { type JobColumns, toJob } from "./job_row.ts";

/** Which jobs to claim, and how many. */
export interface ClaimOptions {
  /** The worker's name, written to the row for people. */
  readonly worker: string;
  /** The job types that this worker handles; letters, digits, dots and dashes. */
  readonly jobTypes: readonly string[];
  /** Milliseconds until the lease expires unless it is renewed. */
  readonly leaseMs: number;
  /** Most jobs to claim, 1 or more. */
  readonly limit: number;
  /** Most running jobs of one repo, on all workers. Two claims at one moment may exceed it. */
  readonly perRepo: number;
  /**
   * Whether to look at every repo with pending jobs, and to let their owners take turns. Default: read
   * only the head of the queue, which one owner's jobs may fill. It costs some 0.2 ms per repo.
   */
  readonly isFair?: boolean;
  /** Claim only this job, even before its `run_at` and with no attempts left: a user asked for it. */
  readonly jobId?: string;
  /** Repos whose jobs are not claimed. */
  readonly pausedRepos?: readonly string[];
  /** Workers known to have ended: their jobs are claimed before the lease expires. */
  readonly takeOver?: readonly string[];
}

/** Other workers lock some candidates, and a repo's share rules out others. */
const CANDIDATES_PER_JOB = 2;
const MIN_LIMIT = 16;

/** Other programs may have written more; adding 1 to the column's largest value would fail all claims. */
const MOST_ATTEMPTS = 2 ** 31 - 1;
const MOST_FENCE = Number.MAX_SAFE_INTEGER;

/**
 * Claims pending jobs, and running jobs whose lease has expired.
 *
 * The attempt is counted here, so a job that kills its worker ends too: past `max_attempts` it fails
 * with `attempts-exhausted` instead of being claimed. A job is passed over while a duplicate (same
 * repo, type and mpack) runs.
 *
 * A running row without a lease that ends belongs to another program. It is not claimed, and delays no
 * other job: nothing says that the other program still exists.
 *
 * The claim reads the head of the queue. Only if repos at their share fill the head, it reads the
 * head of each other repo: ten thousand jobs of one repo do not delay the others. A fair claim always
 * does that, and among jobs of one priority prefers those of owners with few running jobs: ten
 * thousand jobs in a hundred repos of one owner do not delay another owner.
 */
export async function claimJobs(db: Database, options: ClaimOptions): Promise<Job[]> {
  const { worker, jobTypes, leaseMs, limit, perRepo, isFair = false, jobId, takeOver = [] } =
    options;
  const { pausedRepos = [] } = options;
  const { sql } = db;
  // Limits are text, rounded up so that few statements exist. For a LIMIT that is a parameter
  // PostgreSQL plans each claim anew, which takes longer than the claim.
  const most = 2 ** Math.ceil(Math.log2(Math.max(limit, MIN_LIMIT)));
  const candidates = sql.unsafe(`${CANDIDATES_PER_JOB * most}`);
  const fewest = CANDIDATES_PER_JOB * 2 ** Math.ceil(Math.log2(perRepo));
  const headOfRepo = sql.unsafe(`${isFair ? Math.min(most, fewest) : most}`);
  // If a worker in takeOver still runs, its writes fail at the raised fence, as after an expiry.
  const isExpired = takeOver.length === 0
    ? sql`lease_expires_at <= now()`
    : sql`lease_expires_at is not null
        and (lease_expires_at <= now() or locked_by in (
          select jsonb_array_elements_text(${JSON.stringify(takeOver)}::text::jsonb)))`;
  // "is not false" hides the condition from the planner. In a young table it would choose the index
  // of open jobs, and read every pending job.
  const isOurs = sql`(job_type = any(${arrayLiteral(jobTypes)}::text[])) is not false`;
  const isUnpaused = pausedRepos.length === 0
    ? sql`true`
    : sql`repo_id <> all(${arrayLiteral(pausedRepos)}::text[])`;
  const isNamed = jobId === undefined ? sql`true` : sql`job_id = ${jobId}`;
  const isDue = jobId === undefined ? sql`(run_at is null or run_at <= now())` : isNamed;
  const isSpent = jobId === undefined
    ? sql`coalesce(j.attempt, 0) >= coalesce(j.max_attempts, ${DEFAULT_MAX_ATTEMPTS}::integer)`
    : sql`false`;
  const order = sql`coalesce(priority, 0) desc, created_at, job_id`;
  // A fair claim reads the head of each repo, so what the head of the queue has is among them.
  const found = isFair
    ? sql`select * from expired union all select * from heads`
    : sql`select * from expired union select * from head union select * from heads`;
  const isShort = isFair ? sql`true` : sql`exists (select from shortage)`;
  // Looked up one by one: a join may read all repos. A repo without a row is a tenant of its own.
  const tenant = sql`coalesce((
    select owner from musehub_repos r where r.repo_id = found.repo_id), found.repo_id)`;
  // Of each tenant as many as one claim may take, and some for those that others have locked: ten
  // thousand repos of one owner would else be ten thousand rows to look up and sort.
  const turns = sql`, busy_tenants as materialized (
      select ${tenant} as tenant, sum(running) as running from busy_repos as found group by 1
    ), tenants as materialized (
      select repo_id, ${tenant} as tenant from (select distinct repo_id from ranked) as found
    ), turns as materialized (
      select job_id, 1 as place_in_repo, 1 as place_among_duplicates,
        coalesce(running, 0) + place as turn
      from (
        select job_id, tenant, row_number() over (partition by tenant order by ${order}) as place
        from ranked join tenants using (repo_id)
        where place_in_repo <= ${perRepo}::integer and place_among_duplicates = 1
      ) as owned
      left join busy_tenants using (tenant)
      where place <= ${candidates}
    )`;
  const columns = sql`job_id, repo_id, job_type, priority, created_at,
    mpackd_mpack_key(payload::text) as mpack_key`;
  // Each CTE is materialized: flattened into a join, LIMIT with FOR UPDATE may lock more rows than
  // it returns.
  const rows = await db.query<JobColumns & { is_rescue: boolean }>("claim jobs")`
    with recursive busy as materialized (
      select repo_id, job_type, mpackd_mpack_key(payload::text) as mpack_key
      from musehub_background_jobs
      where status = 'running' and isfinite(lease_expires_at) and (${isExpired}) is not true
    ), busy_repos as materialized (
      select repo_id, count(*) as running from busy group by repo_id
    ), full_repos as materialized (
      select repo_id from busy_repos where running >= ${perRepo}::integer
    ), expired as materialized (
      select ${columns} from musehub_background_jobs
      where status = 'running' and ${isOurs} and ${isExpired} and ${isNamed} and ${isUnpaused}
      limit ${candidates}
    ), head as materialized (
      select ${columns} from musehub_background_jobs
      where status = 'pending' and ${isOurs} and ${isDue} and ${isUnpaused}
      order by ${order}
      limit ${candidates}
    ), shortage as materialized (
      -- One row if the head is full and the shares let through fewer jobs than asked for.
      select from (select repo_id, count(*) as waiting from head group by repo_id) as own
      left join busy_repos using (repo_id)
      having sum(waiting) = ${candidates}
        and sum(least(waiting, greatest(${perRepo}::integer - coalesce(running, 0), 0)))
          < ${limit}::integer
    ), repos as (
      -- All repos with pending jobs, one index lookup each.
      select min(repo_id) as repo_id from musehub_background_jobs
      where status = 'pending' and ${isShort}
      union all
      select (select min(repo_id) from musehub_background_jobs j
        where status = 'pending' and j.repo_id > repos.repo_id)
      from repos where repos.repo_id is not null
    ), heads as materialized (
      select own.* from repos cross join lateral (
        select ${columns} from musehub_background_jobs j
        where status = 'pending' and j.repo_id = repos.repo_id and ${isOurs} and ${isDue}
          and ${isUnpaused}
        order by repo_id, ${order}
        limit ${headOfRepo}
      ) own
      where repos.repo_id is not null
        and repos.repo_id not in (select repo_id from full_repos)
    ), ranked as materialized (
      select job_id, repo_id, priority, created_at,
        row_number() over (partition by repo_id order by ${order})
          + coalesce(running, 0) as place_in_repo,
        row_number() over (
          partition by repo_id, job_type, coalesce(mpack_key, job_id) order by ${order}
        ) as place_among_duplicates
      from (${found}) as found
      left join busy_repos using (repo_id)
      where not exists (
        select from busy where busy.repo_id = found.repo_id and busy.job_type = found.job_type
          and busy.mpack_key = found.mpack_key)
    )${isFair ? turns : sql``}, taken as materialized (
      select j.job_id, j.status = 'running' as is_rescue, ${isSpent} as is_spent,
        coalesce(j.cancel_requested, false) as is_cancelled
      from musehub_background_jobs j
      join ${isFair ? sql`turns` : sql`ranked`} as chosen on chosen.job_id = j.job_id
      where place_in_repo <= ${perRepo}::integer and place_among_duplicates = 1
        and (j.status = 'pending' or j.status = 'running' and ${isExpired})
      order by coalesce(j.priority, 0) desc, ${isFair ? sql`turn,` : sql``} j.created_at, j.job_id
      limit ${limit}::integer
      for update of j skip locked
    ), lost as (
      -- The rows as they were before this statement.
      insert into mpackd_attempts (job_id, fence, attempt, worker, started_at, outcome)
      select j.job_id, coalesce(j.fence, 0), j.attempt, j.locked_by, j.started_at, 'lost'
      from taken cross join lateral (
        select * from musehub_background_jobs j where j.job_id = taken.job_id
      ) as j
      where taken.is_rescue
      on conflict do nothing
    ), claimed as (
      update musehub_background_jobs j set
        status = case when is_cancelled then 'cancelled' when is_spent then 'failed'
          else 'running' end,
        attempt = case when is_spent or is_cancelled then coalesce(j.attempt, 0)
          else least(greatest(coalesce(j.attempt, 0), 0), ${MOST_ATTEMPTS}::integer - 1) + 1 end,
        fence = least(greatest(coalesce(j.fence, 0), 0), ${MOST_FENCE}::bigint - 1) + 1,
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
    select * from claimed j
    order by coalesce(j.priority, 0) desc, j.created_at, j.job_id`;
  return rows.filter(({ status }) => status === "running")
    .map((row) => toJob(row, { leaseMs, isRescue: row.is_rescue }));
}
