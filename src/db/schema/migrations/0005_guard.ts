/**
 * Where the ghost guard keeps ids that do not fit into its memory: one row per batch, as an array.
 *
 * Unlogged: what a crash of the server loses is noticed by counting, and the push starts over.
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
-- Digests do not compress, so do not try.
alter table mpack_guard_ids alter column ids set storage external;
`;
