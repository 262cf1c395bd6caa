/** Finds the few refs whose location is damaged, so that a publish need not look at all of them. */
export const sql = `
create index if not exists musehub_object_refs_mpackd_damaged
  on musehub_object_refs (repo_id, object_id)
  where damaged_at is not null;
`;
