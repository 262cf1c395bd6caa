/**
 * When maintenance runs by itself, what of the queue is paused, and which audits have ended.
 */
export const sql = `
create table if not exists mpackd_schedules (
  name text collate "C" primary key,
  cron text not null,
  task text not null,
  options json not null default '{}',
  is_paused boolean not null default false,
  next_at timestamptz not null,
  last_at timestamptz,
  last_job_id text collate "C",
  created_at timestamptz not null default now()
);

create table if not exists mpackd_pauses (
  kind text collate "C" not null check (kind in ('all', 'type', 'repo')),
  value text collate "C" not null,
  paused_at timestamptz not null default now(),
  primary key (kind, value)
);

create table if not exists mpackd_finished_audits (
  audit_id text collate "C" not null,
  started_at timestamptz not null,
  finished_at timestamptz not null default now(),
  repo_id text collate "C",
  mpacks bigint not null,
  damaged bigint not null
);
create index if not exists mpackd_finished_audits_finished_at
  on mpackd_finished_audits (finished_at);
`;
