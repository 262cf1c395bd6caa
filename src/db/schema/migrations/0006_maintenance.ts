/**
 * What `audit` and `gc` have to remember.
 *
 * An audit is resumed by the set of packs it has found sound: packs are not pushed in the order of
 * their names, so "the last one looked at" would pass over those that came since. A doomed name is
 * a blob (or a repo) that `gc` is deleting; a publish that would point at it is refused.
 */
export const sql = `
-- Why damaged_at is set: 'lie' if the pack proves that it holds other bytes, so that pushing the same
-- pack again cannot help; 'loss' if the blob is damaged, replaced or gone.
alter table musehub_object_refs add column if not exists damage text;

create table if not exists mpackd_audits (
  audit_id text collate "C" primary key,
  seed text not null,
  started_at timestamptz not null default now()
);
create table if not exists mpackd_audited_packs (
  audit_id text collate "C" not null,
  mpack_id bigint not null,
  checked_at timestamptz not null default now(),
  primary key (audit_id, mpack_id)
);

create table if not exists mpackd_doomed (
  name text collate "C" primary key,
  doomed_at timestamptz not null default now()
);
create index if not exists musehub_mpacks_mpackd_blob on musehub_mpacks (blob_key);
`;
