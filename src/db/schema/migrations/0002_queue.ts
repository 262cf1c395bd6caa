/**
 * Makes the jobs table a queue: indexes for the claim and for finding an open job, and a trigger that
 * wakes idle workers, whichever program inserted the row.
 *
 * The mpack key is cut from the payload's text instead of read by `->>`. That operator fails on a
 * document with an escaped NUL anywhere in it, so an index on it would refuse rows of producers that
 * have nothing to do with mpackd. (A regular expression took 50 µs where this takes 1.)
 */
export const sql = `
create or replace function mpackd_mpack_key(payload text) returns text
  language sql immutable parallel safe
  return case when ltrim(split_part(payload, '"mpack_key"', 2), E': \t\r\n') like '"%'
    then left(split_part(split_part(payload, '"mpack_key"', 2), '"', 2), 200) end;

create index if not exists musehub_background_jobs_mpackd_pending
  on musehub_background_jobs ((coalesce(priority, 0)) desc, created_at, job_id)
  where status = 'pending';
create index if not exists musehub_background_jobs_mpackd_running
  on musehub_background_jobs (lease_expires_at)
  where status = 'running';
create index if not exists musehub_background_jobs_mpackd_open
  on musehub_background_jobs (repo_id, job_type, mpackd_mpack_key(payload::text))
  where status in ('pending', 'running');

-- Every job leaves three dead rows (claimed, finished, purged). The default would vacuum only after a
-- fifth of the table has changed.
alter table musehub_background_jobs set (
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02
);

create or replace function mpackd_wake() returns trigger language plpgsql as $wake$
begin
  perform pg_notify('mpackd_jobs', '');
  return null;
end
$wake$;
create or replace trigger mpackd_wake
  after insert on musehub_background_jobs
  for each statement execute function mpackd_wake();
`;
