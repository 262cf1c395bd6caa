/**
 * Deletes the staged rows of a job. The statement that ends the job calls it.
 *
 * That statement may have waited for the job's row while another one, whose client had given up,
 * committed a batch of the same claim. The snapshot of the waiting statement is older than the batch;
 * the queries of a volatile function take a new one.
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
