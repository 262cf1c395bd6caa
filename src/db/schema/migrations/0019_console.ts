/**
 * What the console shows: attempts that did not end well, and the workers that are alive.
 *
 * An attempt that finishes its job leaves no row of its own, because the job's row says all of it: so
 * the queue writes no more than before where all is well.
 */
export const sql = `
create table if not exists mpackd_attempts (
  job_id text collate "C" not null,
  fence bigint not null,
  attempt integer,
  worker text,
  started_at timestamptz,
  ended_at timestamptz not null default now(),
  outcome text not null,
  code text,
  message text,
  primary key (job_id, fence)
);

create unlogged table if not exists mpackd_workers (
  worker text collate "C" primary key,
  version text not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  concurrency integer not null,
  running integer not null,
  is_draining boolean not null default false
);

-- Packs come in the order of time, so the smallest kind of index finds those of the last hour.
create index if not exists musehub_mpacks_mpackd_indexed_at
  on musehub_mpacks using brin (indexed_at);
create index if not exists musehub_background_jobs_mpackd_failed
  on musehub_background_jobs (finished_at) where status = 'failed';
`;
