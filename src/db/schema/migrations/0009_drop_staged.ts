/**
 * Deletes what is staged for a job, to be called by the statement that ends it.
 *
 * That statement may have waited for the job's row while a batch of the same claim was being
 * committed, whose client had given it up. Its own snapshot is older than the batch; the queries of
 * a volatile function take a new one.
 *
 * @see {@link https://www.postgresql.org/docs/current/xfunc-volatility.html | Function volatility}
 */
export const sql = `
create or replace function mpackd_drop_staged(ended_job text) returns bigint
  language sql volatile as $drop$
  with dropped as (delete from mpack_staged_objects where job_id = ended_job returning 1)
  select count(*) from dropped
$drop$;
`;
