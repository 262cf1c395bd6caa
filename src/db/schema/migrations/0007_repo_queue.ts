/** Each repo's own queue, for a claim that finds the head of the whole full of a busy repo's jobs. */
export const sql = `
create index if not exists musehub_background_jobs_mpackd_repo_pending
  on musehub_background_jobs (repo_id, (coalesce(priority, 0)) desc, created_at, job_id)
  where status = 'pending';
`;
