-- Writes the records of a staged batch into the tables that all repos share: few rows at once, for a
-- short time, as mpackd_write_objects_1 does. Returns no row if the lease is lost.
create or replace function mpackd_write_records_1(
  of_job text, under_fence bigint, uri text, of_batch integer
) returns table ("cancelRequested" boolean)
language plpgsql
as $write$
#variable_conflict use_variable
begin
  perform set_config('synchronous_commit', 'off', true);
  select coalesce(j.cancel_requested, false) into "cancelRequested"
  from musehub_background_jobs j
  where j.job_id = of_job and j.fence = under_fence and j.status = 'running' for update;
  if not found then return; end if;
  insert into musehub_commits (commit_id, storage_uri, record_offset, record_bytes)
  select r.commit_id, uri, r.record_offset, r.record_bytes
  from mpack_staged_records s, jsonb_to_recordset(s.commits)
    as r(commit_id text, record_offset bigint, record_bytes bigint)
  where s.job_id = of_job and s.batch = of_batch
  order by r.commit_id collate "C", r.record_offset
  on conflict (commit_id) do nothing;
  insert into musehub_snapshots (snapshot_id, storage_uri, record_offset, record_bytes)
  select r.snapshot_id, uri, r.record_offset, r.record_bytes
  from mpack_staged_records s, jsonb_to_recordset(s.snapshots)
    as r(snapshot_id text, record_offset bigint, record_bytes bigint)
  where s.job_id = of_job and s.batch = of_batch
  order by r.snapshot_id collate "C", r.record_offset
  on conflict (snapshot_id) do nothing;
  return next;
end
$write$;
