/**
 * Decoded rows before their proof: one row per batch, holding the batch as three arrays.
 *
 * Unlogged, because a crash of the server loses only work, which the resume notices.
 */
export const sql = `
create unlogged table if not exists mpack_staged_objects (
  job_id text collate "C" not null,
  fence bigint not null,
  batch integer not null,
  rows integer not null,
  object_ids text[] not null,
  content_offsets bigint[] not null,
  sizes_bytes bigint[] not null,
  primary key (job_id, batch)
);
-- Digests do not compress, so do not try.
alter table mpack_staged_objects
  alter column object_ids set storage external,
  alter column content_offsets set storage external,
  alter column sizes_bytes set storage external;
`;
