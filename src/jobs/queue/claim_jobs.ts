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
  /** Claim only this job, even before its `run_at` and with no attempts left: a user asked for it. */
  readonly jobId?: string;
  /** Repos whose jobs are not claimed. */
  readonly pausedRepos?: readonly string[];
  /** Workers known to have ended: their jobs are claimed before the lease expires. */
  readonly takeOver?: readonly string[];
}

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
 * Among jobs of one priority, those of tenants with few running jobs go first; then those of the
 * tenant that has waited longest since it was served, or since its job was due. A tenant is the owner
 * of a job's repo, or the repo where it has no row. So ten thousand jobs of one owner, in one repo or
 * in ten thousand, delay another owner's job by one turn. How many rows of the queue a claim reads is
 * bounded: `mpackd_next_jobs_1` in src/db/schema/functions/next_jobs_1.sql.
 */
export async function claimJobs(db: Database, options: ClaimOptions): Promise<Job[]> {
  const { worker, jobTypes, leaseMs, limit, perRepo, jobId, takeOver = [], pausedRepos = [] } =
    options;
  const { sql } = db;
  // If a worker in takeOver still runs, its writes fail at the raised fence, as after an expiry.
  const isExpired = takeOver.length === 0
    ? sql`lease_expires_at <= now()`
    : sql`lease_expires_at is not null
        and (lease_expires_at <= now() or locked_by in (
          select jsonb_array_elements_text(${JSON.stringify(takeOver)}::text::jsonb)))`;
  // As text, rounded up so that few statements exist: for a LIMIT that is a parameter PostgreSQL plans
  // each claim anew, which takes longer than the claim. Other workers lock some.
  const mostExpired = sql.unsafe(`${2 ** Math.ceil(Math.log2(Math.max(2 * limit, 32)))}`);
  const types = sql`${arrayLiteral(jobTypes)}::text[]`;
  const paused = sql`${arrayLiteral(pausedRepos)}::text[]`;
  // "is not false" hides the condition from the planner. In a young table it would choose the index
  // of open jobs, and read every pending job.
  const isOurs = sql`(job_type = any(${types})) is not false`;
  const isNamed = jobId === undefined ? sql`true` : sql`job_id = ${jobId}`;
  const isSpent = jobId === undefined
    ? sql`coalesce(j.attempt, 0) >= coalesce(j.max_attempts, ${DEFAULT_MAX_ATTEMPTS}::integer)`
    : sql`false`;
  const columns = sql`job_id, repo_id, job_type, coalesce(priority, 0)::integer as priority,
    coalesce(run_at, created_at)::timestamptz as due_at, coalesce(tenant_hash, 0) as tenant,
    mpackd_mpack_key(payload::text) as mpack_key`;
  const waiting = jobId === undefined
    ? sql`select * from mpackd_next_jobs_1(${types}, ${paused},
        array(select repo_id::text from full_repos), ${limit}::integer, ${perRepo}::integer)`
    : sql`select ${columns} from musehub_background_jobs
        where status = 'pending' and ${isNamed} and ${isOurs}
          and repo_id <> all(${paused})`;
  const order = sql`priority desc, due_at, job_id`;
  // Each CTE is materialized: flattened into a join, LIMIT with FOR UPDATE may lock more rows than
  // it returns.
  type Claimed = JobColumns & { is_rescue: boolean; shard: string | null };
  const rows = await db.query<Claimed>("claim jobs")`
    with busy as materialized (
      select repo_id, job_type, coalesce(tenant_hash, 0) as tenant,
        mpackd_mpack_key(payload::text) as mpack_key
      from musehub_background_jobs
      where status = 'running' and isfinite(lease_expires_at) and (${isExpired}) is not true
    ), busy_repos as materialized (
      select repo_id, count(*) as running from busy group by repo_id
    ), busy_tenants as materialized (
      select tenant, count(*) as running from busy group by tenant
    ), full_repos as materialized (
      select repo_id from busy_repos where running >= ${perRepo}::integer
    ), expired as materialized (
      select ${columns} from musehub_background_jobs
      where status = 'running' and ${isOurs} and ${isExpired} and ${isNamed}
        and repo_id <> all(${paused})
      limit ${mostExpired}
    ), waiting as materialized (
      ${waiting}
    ), ranked as materialized (
      select found.*,
        row_number() over (partition by repo_id order by ${order})
          + coalesce(running, 0) as place_in_repo,
        row_number() over (
          partition by repo_id, job_type, coalesce(mpack_key, job_id) order by ${order}
        ) as place_among_duplicates
      from (select * from expired union select * from waiting) as found
      left join busy_repos using (repo_id)
      where not exists (
        select from busy where busy.repo_id = found.repo_id and busy.job_type = found.job_type
          and busy.mpack_key = found.mpack_key)
    ), turns as materialized (
      select job_id, tenant, coalesce(running, 0) + row_number() over (
          partition by tenant order by ${order}) as turn,
        greatest(due_at, served_at) as waits_since
      from ranked
      left join busy_tenants using (tenant)
      left join mpackd_turns using (tenant)
      where place_in_repo <= ${perRepo}::integer and place_among_duplicates = 1
    ), taken as materialized (
      select j.job_id, tenant, j.status = 'running' as is_rescue, ${isSpent} as is_spent,
        coalesce(j.cancel_requested, false) as is_cancelled
      from musehub_background_jobs j join turns on turns.job_id = j.job_id
      where j.status = 'pending' or j.status = 'running' and ${isExpired}
      order by coalesce(j.priority, 0) desc, turn, waits_since, j.job_id
      limit ${limit}::integer
      for update of j skip locked
    ), served as materialized (
      -- Only where several wait. Nobody waits for a row that another claim is writing.
      select tenant from taken where (select min(tenant) <> max(tenant) from turns) group by tenant
    ), noted as (
      update mpackd_turns t set served_at = now()
      from (
        select t.tenant from mpackd_turns t join served using (tenant)
        order by t.tenant for update of t skip locked
      ) as own
      where t.tenant = own.tenant
    ), first_noted as (
      insert into mpackd_turns (tenant, served_at)
      select tenant, now() from served
      where not exists (select from mpackd_turns t where t.tenant = served.tenant)
      order by tenant
      on conflict do nothing
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
    select *, (select shard from musehub_repos r where r.repo_id = j.repo_id) as shard
    from claimed j
    order by coalesce(j.priority, 0) desc, j.created_at, j.job_id`;
  return rows.filter(({ status }) => status === "running")
    .map((row) => {
      const job = toJob(row, { leaseMs, isRescue: row.is_rescue });
      return row.shard === null ? job : { ...job, shard: row.shard };
    });
}
