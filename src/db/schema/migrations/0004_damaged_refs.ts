/** An index of the few damaged refs, so that a publish need not look at all refs of its repo. */
export const sql = `
create index if not exists musehub_object_refs_mpackd_damaged
  on musehub_object_refs (repo_id, object_id)
  where damaged_at is not null;
`;
