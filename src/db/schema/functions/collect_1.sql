-- How gc removes the history that no branch or tag reaches, beside pushes.
--
-- gc walks a repo's history and marks what is reached. Then it holds the repo for seconds: publishes
-- of attempts that began before the end of that time are refused, and so start over, because they may
-- have counted on rows that gc removes. A hold that is not renewed expires: gc was killed.

-- What gc's marks depend on: the repo's branches and tags, and its last pack. Null if the history is
-- not all there is: if a pack did not come by a push, its objects need no branch to reach them.
create or replace function mpackd_history_state_1(of_repo text) returns text
language sql stable
set enable_seqscan = off
as $state$
  select md5(concat_ws('|',
    (select string_agg(b.name || ' ' || b.head_commit_id, ',' order by b.name)
      from musehub_branches b where b.repo_id = of_repo and b.head_commit_id is not null),
    (select string_agg(t.tag || ' ' || t.commit_id, ',' order by t.tag)
      from musehub_tags t where t.repo_id = of_repo),
    (select max(m.mpack_id) from musehub_mpacks m where m.repo_id = of_repo)))
  where exists (
      select from musehub_branches b where b.repo_id = of_repo and b.head_commit_id is not null)
    and not exists (
      select from musehub_mpacks m where m.repo_id = of_repo and m.is_push is not true)
    and not exists (
      select from mpackd_collections c where c.repo_id = of_repo and c.is_mixed)
$state$;

-- Deletes rows of one kind (commit, snapshot, object) that gc has found unreached. Returns how many,
-- or null if gc may not go on: its hold has expired, its marks are lost, or the history has changed.
create or replace function mpackd_collect_1(
  of_repo text, of_run text, expected_state text, kind text, ids text[], before timestamptz
) returns bigint
language plpgsql
as $collect$
#variable_conflict use_variable
declare
  deleted bigint;
begin
  -- 1. The hold, for another minute.
  update mpackd_collections c set expires_at = clock_timestamp() + interval '1 minute'
  where c.repo_id = of_repo and c.run_id = of_run and c.ended_at is null
    and c.expires_at > clock_timestamp();
  if not found then return null; end if;

  -- 2. The rows; whoever makes a tag holds its commit.
  if kind = 'commit' then
    perform from musehub_commit_refs c
    where c.repo_id = of_repo and c.commit_id = any(ids)
    order by c.commit_id collate "C" for update;
  end if;

  -- 3. Is what was marked still what is there? A crash of the server empties the marks, and so the
  -- mark of the walk itself.
  if mpackd_history_state_1(of_repo) is distinct from expected_state or not exists (
    select from mpackd_marks m where m.walk_id = of_run and m.kind = 'walk')
  then
    return null;
  end if;

  -- 4. Nothing younger than the grace time: a push may have brought it again.
  if kind = 'commit' then
    with gone as (
      delete from musehub_commit_refs c
      where c.repo_id = of_repo and c.commit_id = any(ids) and c.created_at < before
      returning c.commit_id
    ), ungraphed as (
      delete from musehub_commit_graph g using gone
      where g.repo_id = of_repo and g.commit_id = gone.commit_id
    )
    select count(*) into deleted from gone;
  elsif kind = 'snapshot' then
    with gone as (
      delete from musehub_snapshot_refs s
      where s.repo_id = of_repo and s.snapshot_id = any(ids) and s.created_at < before
      returning 1
    )
    select count(*) into deleted from gone;
  else
    with gone as (
      delete from musehub_object_refs r
      where r.repo_id = of_repo and r.object_id = any(ids) and r.created_at < before
      returning 1
    )
    select count(*) into deleted from gone;
  end if;
  return deleted;
end
$collect$;
