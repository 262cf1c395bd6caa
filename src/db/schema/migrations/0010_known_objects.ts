/**
 * Notes which ids of a batch are known when it is staged. The publish inserts the others without a
 * conflict check, which is half of an insert's work.
 *
 * This is a function because a function can have planner settings of its own. Without them, a plan
 * made while the tables were empty would read them from end to end for each batch, until they are
 * analyzed.
 *
 * @see {@link https://www.postgresql.org/docs/current/sql-createfunction.html | SET in CREATE FUNCTION}
 */
export const sql = `
alter table mpack_staged_objects add column if not exists known_objects boolean[];
alter table mpack_staged_objects add column if not exists known_refs boolean[];

create or replace function mpackd_mark_known(ids text[], known text[]) returns boolean[]
  language plpgsql immutable
  set enable_nestloop = off
  as $mark$
begin
  if cardinality(known) in (0, cardinality(ids)) then
    return array_fill(cardinality(known) > 0, array[cardinality(ids)]);
  end if;
  return (
    select array_agg(k.id is not null order by u.place)
    from unnest(ids) with ordinality as u(id, place) left join unnest(known) as k(id) on k.id = u.id);
end
$mark$;

create or replace function mpackd_known_objects(
  of_repo text, ids text[], out known_objects boolean[], out known_refs boolean[]
)
  language plpgsql stable
  set enable_seqscan = off
  set enable_bitmapscan = off
  as $known$
begin
  known_objects := mpackd_mark_known(ids, array(
    select object_id from musehub_objects where object_id = any(ids)));
  known_refs := mpackd_mark_known(ids, array(
    select object_id from musehub_object_refs where repo_id = of_repo and object_id = any(ids)));
end
$known$;
`;
