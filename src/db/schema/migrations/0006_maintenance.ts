/**
 * Tables of `audit` and `gc`.
 *
 * An interrupted audit goes on from the set of packs that it has found valid. The last pack looked at
 * would not do: packs are not pushed in the order of their names. A row in mpackd_doomed (renamed by
 * a later migration) is a tombstone: `gc` is deleting that blob or repo, and a publish that would
 * point at it is refused.
 */
export const sql = `
-- Why damaged_at is set. 'lie': the pack itself holds other bytes, so pushing it again cannot help.
-- 'loss': the blob is damaged, replaced or missing.
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
