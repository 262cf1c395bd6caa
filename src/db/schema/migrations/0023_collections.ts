import collect from "../functions/collect_1.sql" with { type: "text" };

/**
 * What gc needs to collect history: which packs came by a push, which repos it holds, and what a walk
 * has reached. And where repack notes the rows that it copies, in the order of the new pack.
 *
 * Marks and moves are unlogged: a walk notices what a crash of the server loses, and the next run
 * starts over; a repack has changed nothing until its end.
 */
export const sql = `
-- Whether the pack is part of a push, so that only branches and tags keep what it holds. Null for a
-- pack that an older version, or another program, has indexed.
alter table musehub_mpacks add column if not exists is_push boolean;

create table if not exists mpackd_collections (
  repo_id text collate "C" primary key,
  run_id text not null,
  began_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz,
  -- The history that was left complete; null if something is left for a later run.
  state text,
  -- Whether gc has removed the row of a pack that did not come by a push. Other packs had all of its
  -- objects, and nothing else says any more that they are needed.
  is_mixed boolean not null default false
);

create unlogged table if not exists mpackd_marks (
  walk_id text collate "C" not null,
  kind text collate "C" not null,
  id text collate "C" not null,
  created_at timestamptz not null default now(),
  primary key (walk_id, kind, id)
);

-- When a repack has moved what this pack held into another one; its blob is still being read then.
alter table musehub_mpacks add column if not exists replaced_at timestamptz;

create unlogged table if not exists mpackd_moves (
  run_id text collate "C" not null,
  kind text collate "C" not null,
  place bigint not null,
  id text collate "C" not null,
  mpack_id bigint not null,
  old_offset bigint not null,
  old_bytes bigint not null,
  new_offset bigint,
  new_bytes bigint,
  -- Of the manifest of a snapshot that was a delta.
  entries bigint,
  created_at timestamptz not null default now(),
  primary key (run_id, kind, id)
);
create index if not exists mpackd_moves_place on mpackd_moves (run_id, kind, place);

${collect}
`;
