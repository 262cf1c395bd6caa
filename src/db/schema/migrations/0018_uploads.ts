/**
 * Uploads in parts that are neither completed nor given up: one per mpack of a repo, so that a client
 * which asks again goes on with the parts that are there.
 */
export const sql = `
create table if not exists mpackd_uploads (
  repo_id text collate "C" not null,
  mpack_key text collate "C" not null,
  upload_id text collate "C" not null,
  size_bytes bigint not null,
  part_bytes bigint not null,
  touched_at timestamptz not null default now(),
  primary key (repo_id, mpack_key)
);
create index if not exists mpackd_uploads_by_id on mpackd_uploads (upload_id);
`;
