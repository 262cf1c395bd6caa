import usage from "../functions/usage_1.sql" with { type: "text" };

/**
 * What operators set: when maintenance runs by itself, what of the queue is paused, which quotas
 * tenants have; and which audits have ended.
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

-- The limits of an owner (by handle) or a repo (by id). Null: the default of the settings.
create table if not exists mpackd_quotas (
  kind text collate "C" not null check (kind in ('owner', 'repo')),
  name text collate "C" not null,
  bytes bigint,
  objects bigint,
  packs bigint,
  pushes bigint,
  changed_at timestamptz not null default now(),
  primary key (kind, name)
);
-- What those tenants have for whom there is a limit. Room is left on each page, because an update in
-- the same page writes no index.
create table if not exists mpackd_usage (
  kind text collate "C" not null,
  name text collate "C" not null,
  bytes bigint not null default 0,
  objects bigint not null default 0,
  packs bigint not null default 0,
  counted_at timestamptz,
  pushes bigint not null default 0,
  hour_began_at timestamptz,
  primary key (kind, name)
) with (fillfactor = 50);

${usage}
`;
