-- Jobs of whose end no webhook is told.

-- False: none is told. The trigger on updates asks this first and little else: for each statement
-- PostgreSQL prepares its condition anew, and one with the words of status and type in it made the end
-- of a job take a tenth longer. Null, in older rows: the function looks.
alter table musehub_background_jobs add column if not exists is_told boolean;

-- As mpackd_set_tenant_1, and says whether webhooks may be told.
create or replace function mpackd_set_tenant_2() returns trigger
  language plpgsql security definer as $tenant$
declare
  repo constant text := new.repo_id;
begin
  new.tenant_hash := mpackd_tenant_hash(
    coalesce((select r.owner from musehub_repos r where r.repo_id = repo), repo));
  new.is_told := new.job_type = 'mpack.index';
  return new;
end
$tenant$;
execute format('alter function mpackd_set_tenant_2() set search_path = %I, pg_temp',
  current_schema());
revoke execute on function mpackd_set_tenant_2() from public;
create or replace trigger mpackd_set_tenant
  before insert on musehub_background_jobs
  for each row execute function mpackd_set_tenant_2();
drop function if exists mpackd_set_tenant_1();

create or replace function mpackd_note_job_2() returns trigger
  language plpgsql security definer as $note$
declare
  details jsonb;
begin
  if new.status not in ('done', 'failed') or old.status is not distinct from new.status
    or new.job_type <> 'mpack.index' then
    return null;
  end if;
  perform from mpackd_webhooks w where w.repo_id = new.repo_id and w.disabled_at is null limit 1;
  if not found then
    return null;
  end if;
  details := jsonb_build_object('job_id', new.job_id,
    'mpack_key', mpackd_mpack_key(new.payload::text));
  begin
    if new.status = 'done' then
      details := details || jsonb_build_object(
        'size_bytes', new.result->'size_bytes', 'objects', new.result->'objects_total',
        'commits', new.result->'commits', 'snapshots', new.result->'snapshots',
        'tags', new.result->'tags', 'branch', new.result->'branch');
    else
      details := details || jsonb_build_object(
        'code', new.last_error->>'code', 'message', left(new.last_error->>'message', 2000),
        'offset_bytes', new.last_error->'offset_bytes');
    end if;
  exception when data_exception then
    -- Another program may have written what jsonb cannot hold; the event must not fail its statement.
    null;
  end;
  perform mpackd_note_event_1(new.repo_id,
    case new.status when 'done' then 'pack.published' else 'pack.failed' end, details);
  return null;
end
$note$;
execute format('alter function mpackd_note_job_2() set search_path = %I, pg_temp', current_schema());
revoke execute on function mpackd_note_job_2() from public;
-- A claim, too, writes the status, but then the lease changes to one. It ends when the job ends, and
-- programs without leases leave it as it is.
create or replace trigger mpackd_note_job
  after update of status on musehub_background_jobs for each row
  when (new.is_told is not false
    and (new.lease_expires_at is null or new.lease_expires_at = old.lease_expires_at))
  execute function mpackd_note_job_2();
drop function if exists mpackd_note_job_1();
