/**
 * Decoded rows before their proof. One row of the table is one batch, as three arrays.
 *
 * Unlogged: after a crash of the server it is empty, which a resume notices and starts over.
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
-- Digests do not compress, so compression is off.
alter table mpack_staged_objects
  alter column object_ids set storage external,
  alter column content_offsets set storage external,
  alter column sizes_bytes set storage external;
`;
