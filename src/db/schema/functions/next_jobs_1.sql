-- Fair claims: owners take turns, whatever is queued, and a claim reads a bounded part of the queue.
--
-- A tenant is the owner of a job's repo, or the repo itself where it has no row. Its hash is in each
-- job, so one index holds the pending jobs by tenant. SHA-256, because whoever found a handle with
-- the hash of another's would share that owner's turns.
create or replace function mpackd_tenant_hash(tenant text) returns bigint
  language sql stable parallel safe
  return ('x' || encode(substr(sha256(convert_to(tenant, getdatabaseencoding())), 1, 8), 'hex'))
    ::bit(64)::bigint & 9223372036854775807;

-- The jobs of one type in one repo stand in one line. Two lines with one hash would be one: they are
-- one tenant's.
create or replace function mpackd_line_hash(repo_id text, job_type text) returns bigint
  language sql immutable parallel safe
  return hashtextextended(repo_id collate "C" || ' ' || job_type collate "C", 0)
    & 9223372036854775807;

alter table musehub_background_jobs add column if not exists tenant_hash bigint;

-- Fills the column in rows of all programs, with the owner's rights and in this schema: the inserting
-- role may have no right to read the repos.
create or replace function mpackd_set_tenant_1() returns trigger
  language plpgsql security definer as $tenant$
declare
  repo constant text := new.repo_id;
begin
  new.tenant_hash := mpackd_tenant_hash(
    coalesce((select r.owner from musehub_repos r where r.repo_id = repo), repo));
  return new;
end
$tenant$;
execute format('alter function mpackd_set_tenant_1() set search_path = %I, pg_temp',
  current_schema());
revoke execute on function mpackd_set_tenant_1() from public;
create or replace trigger mpackd_set_tenant
  before insert on musehub_background_jobs
  for each row execute function mpackd_set_tenant_1();

create index if not exists musehub_background_jobs_mpackd_tenant_pending
  on musehub_background_jobs (
    (coalesce(tenant_hash, 0)), (coalesce(priority, 0)) desc, (mpackd_line_hash(repo_id, job_type)),
    run_at nulls first, created_at)
  where status = 'pending';
-- By repo and age it was. Workers of the version before find their jobs by the other indexes.
drop index if exists musehub_background_jobs_mpackd_repo_pending;

-- When tenants that wait beside others were last served: without it an owner with old jobs would be
-- served again before one with a new job. One row per owner; lost with a crash, and then made again.
create unlogged table if not exists mpackd_turns (
  tenant bigint primary key,
  served_at timestamptz not null
) with (fillfactor = 50);

-- Jobs that may be claimed next: enough of each tenant that the caller can give all of them turns.
--
-- It goes round the tenants, and in each round the lines, from a random place: those that one call
-- does not reach, because there are hundreds, another does. A line whose type, repo or time is not
-- due costs one look, however many jobs stand in it. What it leaves out it makes up for with the
-- oldest jobs of all: so a few due jobs are found among many tenants that have none.
--
-- The planner's settings bind no other program's code: this writes nothing, so it fires no trigger.
-- Without them a session that planned the statements while the table was small would go on to read
-- all of it.
create or replace function mpackd_next_jobs_1(
  types text[], paused_repos text[], full_repos text[], wanted integer, per_repo integer
) returns table (
  job_id text, repo_id text, job_type text, priority integer, due_at timestamptz, tenant bigint,
  mpack_key text
)
  language plpgsql stable rows 32
  set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $next$
declare
  -- Other callers lock some, and shares and duplicates rule out others.
  most constant integer := greatest(wanted + least(wanted, 64), 32);
  most_tenants constant integer := greatest(wanted, 64);
  start constant bigint := (random() * 9e18)::bigint;
  tenants bigint[] := '{}';
  -- Those that may have more than was taken.
  unfinished bigint[];
  most_lines integer;
  most_of_tenant integer;
  most_of_line integer;
  found_in_tenant integer;
  found_in_all integer := 0;
  row_count integer;
  lines integer;
  is_whole boolean := true;
  is_past_end boolean := false;
  at_tenant bigint := start;
  at_priority integer;
  at_line bigint;
  line_repo text;
  line_type text;
begin
  loop
    select coalesce(j.tenant_hash, 0) into at_tenant from musehub_background_jobs j
    where j.status = 'pending' and coalesce(j.tenant_hash, 0) > at_tenant
    order by coalesce(j.tenant_hash, 0) limit 1;
    if at_tenant is null and not is_past_end then
      is_past_end := true;
      at_tenant := -1;
      continue;
    end if;
    exit when at_tenant is null or is_past_end and at_tenant > start;
    if cardinality(tenants) = most_tenants then
      is_whole := false;
      exit;
    end if;
    tenants := tenants || at_tenant;
  end loop;
  if cardinality(tenants) = 0 then
    return;
  end if;

  most_lines := greatest(4, 256 / cardinality(tenants));
  most_of_tenant := greatest(2, most / cardinality(tenants));
  -- The second time only if the tenants with few jobs have left places to the others.
  for round in 1..2 loop
    most_of_line := least(most_of_tenant, 2::bigint * per_repo);
    unfinished := '{}';
    foreach at_tenant in array tenants loop
      found_in_tenant := 0;
      lines := 0;
      select coalesce(j.priority, 0) into at_priority from musehub_background_jobs j
      where j.status = 'pending' and coalesce(j.tenant_hash, 0) = at_tenant
      order by coalesce(j.priority, 0) desc limit 1;
      <<tenant>>
      while at_priority is not null loop
        at_line := start;
        is_past_end := false;
        loop
          select mpackd_line_hash(j.repo_id, j.job_type), j.repo_id, j.job_type
          into at_line, line_repo, line_type
          from musehub_background_jobs j
          where j.status = 'pending' and coalesce(j.tenant_hash, 0) = at_tenant
            and coalesce(j.priority, 0) = at_priority
            and mpackd_line_hash(j.repo_id, j.job_type) > at_line
          order by mpackd_line_hash(j.repo_id, j.job_type) limit 1;
          if at_line is null and not is_past_end then
            is_past_end := true;
            at_line := -1;
            continue;
          end if;
          exit when at_line is null or is_past_end and at_line > start;
          if lines = most_lines or found_in_tenant >= most_of_tenant then
            is_whole := false;
            exit tenant;
          end if;
          lines := lines + 1;
          continue when line_type <> all(types) or line_repo = any(paused_repos)
            or line_repo = any(full_repos);
          return query
            select j.job_id::text, line_repo, line_type, at_priority, j.due_at, at_tenant,
              mpackd_mpack_key(j.payload::text)
            from ((
              select j.job_id, j.created_at::timestamptz as due_at, j.payload
              from musehub_background_jobs j
              where j.status = 'pending' and coalesce(j.tenant_hash, 0) = at_tenant
                and coalesce(j.priority, 0) = at_priority
                and mpackd_line_hash(j.repo_id, j.job_type) = at_line and j.run_at is null
              order by j.run_at nulls first, j.created_at limit most_of_line
            ) union all (
              select j.job_id, j.run_at::timestamptz as due_at, j.payload
              from musehub_background_jobs j
              where j.status = 'pending' and coalesce(j.tenant_hash, 0) = at_tenant
                and coalesce(j.priority, 0) = at_priority
                and mpackd_line_hash(j.repo_id, j.job_type) = at_line and j.run_at <= now()
              order by j.run_at nulls first, j.created_at limit most_of_line
            )) as j;
          get diagnostics row_count = row_count;
          found_in_tenant := found_in_tenant + row_count;
        end loop;
        exit when found_in_tenant >= most_of_tenant;
        select coalesce(j.priority, 0) into at_priority from musehub_background_jobs j
        where j.status = 'pending' and coalesce(j.tenant_hash, 0) = at_tenant
          and coalesce(j.priority, 0) < at_priority
        order by coalesce(j.priority, 0) desc limit 1;
      end loop;
      found_in_all := found_in_all + found_in_tenant;
      if found_in_tenant >= most_of_tenant then
        unfinished := unfinished || at_tenant;
      end if;
    end loop;
    exit when found_in_all >= greatest(wanted, 16) or cardinality(unfinished) = 0
      or most_of_tenant = most;
    tenants := unfinished;
    most_of_tenant := most;
    found_in_all := 0;
  end loop;
  if is_whole then
    return;
  end if;
  return query
    select j.job_id::text, j.repo_id::text, j.job_type::text, coalesce(j.priority, 0)::integer,
      coalesce(j.run_at, j.created_at)::timestamptz, coalesce(j.tenant_hash, 0),
      mpackd_mpack_key(j.payload::text)
    from (
      select * from musehub_background_jobs j
      where j.status = 'pending' and j.job_type = any(types) and j.repo_id <> all(paused_repos)
        and (j.run_at is null or j.run_at <= now())
      order by coalesce(j.priority, 0) desc, j.created_at, j.job_id limit most
    ) as j
    where j.repo_id <> all(full_repos);
end
$next$;
