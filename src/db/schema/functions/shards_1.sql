-- Shards: schemas like this one, here or on other servers, in which repos live.
--
-- The database of DATABASE_URL is the catalog. It knows every repo, and which shard has its rows; a
-- repo without a shard lives in the catalog itself. So one server with one schema is a catalog that
-- has no shards.
create table if not exists mpackd_shards (
  name text collate "C" primary key,
  -- With search_path. User and password may be missing: then they are the catalog's.
  url text not null,
  -- A standby of the same server, for reads that allow it.
  replica_url text,
  -- The shard's own store; null: that of the catalog.
  store_url text,
  -- open: gets new repos. drained: gets none. moving: its writers wait.
  state text not null default 'open' check (state in ('open', 'drained', 'moving')),
  -- Raised with each change of url: a process that knows an older one reads this table again.
  version bigint not null default 1,
  added_at timestamptz not null default now()
);

-- Where the rows of a repo are. In the shard's own copy of the row it is null.
alter table musehub_repos add column if not exists shard text collate "C"
  references mpackd_shards (name);
create index if not exists musehub_repos_mpackd_shard on musehub_repos (shard)
  where shard is not null;

-- In a shard: its name, and the id of its catalog. A pool that finds others does not use it.
alter table mpackd_database add column if not exists shard text collate "C";
alter table mpackd_database add column if not exists catalog_id text collate "C";

-- Moves of shards to other servers, in the catalog. One that was interrupted goes on, or goes back.
create table if not exists mpackd_shard_moves (
  -- Its publication, slot and subscription are called mpackd_move_ and this.
  move_id text collate "C" primary key,
  shard text collate "C" not null,
  -- copying: nothing is held. fencing: writers wait. ready: both sides are equal, and the source is
  -- fenced. aborting: it goes back. moved, aborted: it has ended.
  step text not null
    check (step in ('copying', 'fencing', 'ready', 'aborting', 'moved', 'aborted')),
  -- The process that works on it. A process that was taken for dead finds another one here.
  run_id text collate "C" not null,
  old_url text not null,
  new_url text not null,
  -- Of the shard, before.
  old_state text not null,
  old_version bigint not null,
  -- Whether the move has made the target's schema.
  made_schema boolean not null default false,
  -- The subscription's oid on the target: the names of its helpers' slots begin with it.
  subscription_oid bigint,
  began_at timestamptz not null default now(),
  ended_at timestamptz,
  -- When the old schema was removed.
  old_removed_at timestamptz
);
create unique index if not exists mpackd_shard_moves_open on mpackd_shard_moves (shard)
  where ended_at is null;

-- Logical replication finds the rows of updates and deletes by the primary key. This table has none.
alter table mpackd_finished_audits replica identity full;

-- Repos that move between shards, in the catalog. One that was interrupted goes on, or goes back.
create table if not exists mpackd_repo_moves (
  repo_id text collate "C" primary key,
  -- Its triggers in the old shard are called mpackd_repo_move_ and this.
  move_id text collate "C" not null,
  -- Null: the catalog.
  from_shard text collate "C",
  to_shard text collate "C",
  -- copying: the repo is held where it was. removing: it lives in the new shard. aborting: it goes
  -- back.
  step text not null check (step in ('copying', 'removing', 'aborting')),
  -- The process that works on it.
  run_id text collate "C" not null,
  -- Whether the move has paused the repo's jobs; an operator may have before.
  made_pause boolean not null default false,
  began_at timestamptz not null default now()
);

-- Repos that have moved from this database to another one. Their blobs stay where they are, and no
-- row here names them: gc leaves them alone, also if a copy of the repo's row comes back late.
create table if not exists mpackd_moved_repos (
  repo_id text collate "C" primary key,
  moved_at timestamptz not null default now()
);
