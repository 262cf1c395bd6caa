/** An index of each repo's pending jobs, for a claim when one busy repo fills the head of the queue. */
export const sql = `
create index if not exists musehub_background_jobs_mpackd_repo_pending
  on musehub_background_jobs (repo_id, (coalesce(priority, 0)) desc, created_at, job_id)
  where status = 'pending';
`;
