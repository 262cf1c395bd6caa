/**
 * Ids that do not fit into the memory of the ghost guard. One row of the table is one batch, as an
 * array.
 *
 * Unlogged: the guard counts, so it notices what a crash of the server loses, and the push starts
 * over.
 */
export const sql = `
create unlogged table if not exists mpack_guard_ids (
  guard_id text collate "C" not null,
  kind text not null,
  batch integer not null,
  ids text[] not null,
  created_at timestamptz not null default now(),
  primary key (guard_id, kind, batch)
);
-- Digests do not compress, so compression is off.
alter table mpack_guard_ids alter column ids set storage external;
`;
