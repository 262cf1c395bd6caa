/**
 * How many of these distinct ids are known: in `musehub_objects`, and as sound refs of the repo.
 *
 * A function, so that the planner's settings can be its own. The statement that asks is planned once
 * and asked for each batch; planned while the tables are empty it would read them from end to end
 * for every batch, until somebody analyzes them: 300,000 known objects took minutes.
 *
 * @see {@link https://www.postgresql.org/docs/current/sql-createfunction.html | SET in CREATE FUNCTION}
 */
export const sql = `
create or replace function mpackd_known_objects(of_repo text, ids text[]) returns bigint
  language plpgsql stable
  set enable_seqscan = off
  set enable_bitmapscan = off
  as $known$
begin
  return least(
    (select count(*) from musehub_object_refs
      where repo_id = of_repo and object_id = any(ids) and damaged_at is null),
    (select count(*) from musehub_objects where object_id = any(ids)));
end
$known$;
`;
