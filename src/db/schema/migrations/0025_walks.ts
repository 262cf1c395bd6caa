/**
 * Ids that a walk over a long history finds and cannot keep in memory. One row of the table is one
 * page, as an array.
 *
 * Unlogged: the walk counts, so it notices what a crash of the server loses.
 */
export const sql = `
create unlogged table if not exists mpackd_walk_ids (
  walk_id text collate "C" not null,
  kind text not null,
  page integer not null,
  ids text[] not null,
  created_at timestamptz not null default now(),
  primary key (walk_id, kind, page)
);
-- Digests do not compress, so compression is off.
alter table mpackd_walk_ids alter column ids set storage external;
`;
