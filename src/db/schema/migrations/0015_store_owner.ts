/**
 * The identity of this database, which the store's marker names, and the repos that gc has removed:
 * only their blobs are garbage, and never those of a repo that this database has not known.
 */
export const sql = `
create table if not exists mpackd_database (
  is_only boolean primary key default true check (is_only),
  database_id text collate "C" not null default gen_random_uuid()::text,
  counter bigint not null default 0,
  counted_at timestamptz
);
insert into mpackd_database default values on conflict do nothing;

create table if not exists mpackd_removed_repos (
  repo_id text collate "C" primary key,
  removed_at timestamptz not null default now()
);
`;
