/**
 * When maintenance runs by itself, and what of the queue is paused.
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
`;
