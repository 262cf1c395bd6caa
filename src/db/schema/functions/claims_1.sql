-- Claims jobs: see src/jobs/queue/claim_jobs.ts.
--
-- A function, because of the settings. A session that has planned the statement while the table was
-- small keeps the plan while ten thousand jobs come in, until a vacuum counts them: the plan read all
-- of them for each job that it looked at, which took 500 to 900 ms. So rows are found by arrays of
-- ids, which is no join whose order the planner could choose, and are joined by hash. And a session
-- plans it once, not five times. The settings hold for triggers of other programs, too, while this
-- writes: they change no result.
create or replace function mpackd_claim_jobs_1(
  claiming_worker text, claimed_types text[], lease_ms float8, wanted integer, most_per_repo integer,
  usual_attempts integer, named_job text, paused_repos text[], ended_workers text[]
) returns table (
  job_id text, fence bigint, repo_id text, tenant_hash bigint, job_type text, payload json,
  attempt integer, max_attempts integer, progress json, checkpoint json, is_rescue boolean, shard text
)
  language plpgsql
  set enable_seqscan = off set enable_bitmapscan = off set enable_nestloop = off
  set enable_sort = off set plan_cache_mode = force_generic_plan
as $claim$
#variable_conflict use_column
begin
  -- Each CTE is materialized: flattened into a join, LIMIT with FOR UPDATE may lock more rows than
  -- it returns. "is not false" and "coalesce" hide conditions from the planner, and the order of
  -- leases makes it take their index. In a young table it would choose the index of open jobs, and
  -- read every pending job.
  return query
  with busy as materialized (
    select j.repo_id, j.job_type, coalesce(j.tenant_hash, 0) as tenant,
      mpackd_mpack_key(j.payload::text) as mpack_key
    from musehub_background_jobs j
    where j.status = 'running' and j.lease_expires_at is not null and isfinite(j.lease_expires_at)
      and (j.lease_expires_at <= now() or j.locked_by = any(ended_workers)) is not true
    order by j.lease_expires_at
  ), busy_repos as materialized (
    select repo_id, count(*) as running from busy group by repo_id
  ), busy_tenants as materialized (
    select tenant, count(*) as running from busy group by tenant
  ), full_repos as materialized (
    select repo_id from busy_repos where running >= most_per_repo
  ), expired as materialized (
    select j.job_id, j.repo_id, j.job_type, coalesce(j.priority, 0)::integer as priority,
      coalesce(j.run_at, j.created_at)::timestamptz as due_at, coalesce(j.tenant_hash, 0) as tenant,
      mpackd_mpack_key(j.payload::text) as mpack_key
    from musehub_background_jobs j
    where j.status = 'running' and j.lease_expires_at is not null
      and (j.lease_expires_at <= now() or j.locked_by = any(ended_workers))
      and (j.job_type = any(claimed_types)) is not false
      and (named_job is null or j.job_id = named_job) and j.repo_id <> all(paused_repos)
    order by j.lease_expires_at
    -- Other workers lock some.
    limit greatest(2 * wanted, 32)
  ), waiting as materialized (
    select * from mpackd_next_jobs_1(claimed_types, paused_repos,
      array(select repo_id::text from full_repos), wanted, most_per_repo)
    where named_job is null
    union all
    select j.job_id, j.repo_id, j.job_type, coalesce(j.priority, 0)::integer,
      coalesce(j.run_at, j.created_at)::timestamptz, coalesce(j.tenant_hash, 0),
      mpackd_mpack_key(j.payload::text)
    from musehub_background_jobs j
    where j.job_id = named_job and coalesce(j.status = 'pending', false)
      and (j.job_type = any(claimed_types)) is not false and j.repo_id <> all(paused_repos)
  ), ranked as materialized (
    select found.*,
      row_number() over (partition by repo_id order by priority desc, due_at, job_id)
        + coalesce(running, 0) as place_in_repo,
      row_number() over (
        partition by repo_id, job_type, coalesce(mpack_key, job_id)
        order by priority desc, due_at, job_id
      ) as place_among_duplicates
    from (select * from expired union select * from waiting) as found
    left join busy_repos using (repo_id)
    where not exists (
      select from busy where busy.repo_id = found.repo_id and busy.job_type = found.job_type
        and busy.mpack_key = found.mpack_key)
  ), turns as materialized (
    select job_id, tenant, coalesce(running, 0) + row_number() over (
        partition by tenant order by priority desc, due_at, job_id) as turn,
      greatest(due_at, (
        select t.served_at from mpackd_turns t where t.tenant = ranked.tenant)) as waits_since
    from ranked
    left join busy_tenants using (tenant)
    where place_in_repo <= most_per_repo and place_among_duplicates = 1
  ), taken as materialized (
    select j.job_id, tenant, j.status = 'running' as is_rescue,
      named_job is null and coalesce(j.attempt, 0) >= coalesce(j.max_attempts, usual_attempts)
        as is_spent,
      coalesce(j.cancel_requested, false) as is_cancelled
    from musehub_background_jobs j join turns on turns.job_id = j.job_id
    where j.job_id = any(array(select job_id from turns))
      and coalesce(j.status = 'pending' or j.status = 'running'
        and j.lease_expires_at is not null
        and (j.lease_expires_at <= now() or j.locked_by = any(ended_workers)), false)
    order by coalesce(j.priority, 0) desc, turn, waits_since, j.job_id
    limit wanted
    for update of j skip locked
  ), served as materialized (
    -- Only where several wait. Nobody waits for a row that another claim is writing.
    select tenant from taken where (select min(tenant) <> max(tenant) from turns) group by tenant
  ), noted as (
    update mpackd_turns t set served_at = now()
    where t.tenant = any(array(
      select t.tenant from mpackd_turns t where t.tenant = any(array(select tenant from served))
      order by t.tenant for update skip locked))
  ), first_noted as (
    insert into mpackd_turns (tenant, served_at)
    select tenant, now() from served
    where (select t.tenant from mpackd_turns t where t.tenant = served.tenant) is null
    order by tenant
    on conflict do nothing
  ), lost as (
    -- The rows as they were before this statement.
    insert into mpackd_attempts (job_id, fence, attempt, worker, started_at, outcome)
    select j.job_id, coalesce(j.fence, 0), j.attempt, j.locked_by, j.started_at, 'lost'
    from musehub_background_jobs j
    where j.job_id = any(array(select job_id from taken where is_rescue))
    on conflict do nothing
  ), claimed as (
    -- Other programs may have written more; adding 1 to the column's largest value would fail all
    -- claims. A fence must be exact in JavaScript.
    update musehub_background_jobs j set
      status = case when is_cancelled then 'cancelled' when is_spent then 'failed'
        else 'running' end,
      attempt = case when is_spent or is_cancelled then coalesce(j.attempt, 0)
        else least(greatest(coalesce(j.attempt, 0), 0), 2147483646) + 1 end,
      fence = least(greatest(coalesce(j.fence, 0), 0), 9007199254740990) + 1,
      lease_expires_at = case when not is_spent and not is_cancelled
        then now() + lease_ms * interval '1 ms' end,
      locked_by = case when is_spent or is_cancelled then j.locked_by else claiming_worker end,
      started_at = case when is_spent or is_cancelled then j.started_at else now() end,
      finished_at = case when is_spent or is_cancelled then now() end,
      checkpoint = case when not is_spent and not is_cancelled then j.checkpoint end,
      last_error = case when is_spent and not is_cancelled then json_build_object(
          'code', 'attempts-exhausted',
          'message', format('the job was claimed %s times and never finished', j.attempt),
          'retryable', false, 'at', now())
        else j.last_error end
    from taken
    where j.job_id = taken.job_id and j.job_id = any(array(select job_id from taken))
    returning j.*, is_rescue,
      case when is_spent or is_cancelled then mpackd_drop_staged(j.job_id) end as dropped
  )
  select j.job_id::text, j.fence::bigint, j.repo_id::text, j.tenant_hash, j.job_type::text,
    j.payload::json, j.attempt::integer, j.max_attempts::integer, j.progress::json,
    j.checkpoint::json, j.is_rescue, (
      select r.shard::text from musehub_repos r where r.repo_id = j.repo_id)
  from claimed j
  where j.status = 'running'
  order by coalesce(j.priority, 0) desc, j.created_at, j.job_id;
end
$claim$;
