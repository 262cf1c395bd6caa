-- Fills in the tenants of open jobs that are older than the column. A job that ended has no turn.
with old as materialized (
  select job_id from (
    (select job_id from musehub_background_jobs
      where status = 'pending' and coalesce(tenant_hash, 0) = 0 limit 5000)
    union all
    (select job_id from musehub_background_jobs
      where status = 'running' and tenant_hash is null limit 5000)
  ) as found
), locked as materialized (
  select j.job_id, j.repo_id::text as repo_id from musehub_background_jobs j
  where j.job_id in (select job_id from old) and j.tenant_hash is null
  order by j.job_id for update skip locked
)
update musehub_background_jobs j set tenant_hash = mpackd_tenant_hash(
  coalesce((select r.owner from musehub_repos r where r.repo_id = locked.repo_id), locked.repo_id))
from locked where j.job_id = locked.job_id
returning 1;
