-- What mpackd_publish_2 does for history. The argument is an array of one object for each pack that
-- has any: {place, end_batch, record_batches, graph_batches, saw_cut, branch, commits, snapshots, tags,
-- graph}.
-- Records that are staged are in the batches up to before end_batch, rows of the graph from batch
-- 2^30 on; then the pack is alone and its place 1. The arrays have those that are not staged.

-- Whether commits of a repo wait for an ancestor.
create or replace function mpackd_has_cut_commits_2(of_repo text) returns boolean
language plpgsql stable
-- Planned while a table is empty, this would read the whole table ever after.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $cut$
begin
  return exists (
    select from musehub_commit_graph g where g.repo_id = of_repo and g.generation is null);
end
$cut$;

-- Whether an audit found records of one of these repos damaged.
create or replace function mpackd_has_damaged_records_2(repos text[]) returns boolean
language plpgsql stable
-- As above: for 64 packs a plan made for an empty table took 0.1 ms for each of 2,000 packs there.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $damaged$
begin
  return exists (
      select from musehub_commit_refs c where c.repo_id = any(repos) and c.damaged_at is not null)
    or exists (
      select from musehub_snapshot_refs s where s.repo_id = any(repos) and s.damaged_at is not null);
end
$damaged$;

-- Moves branches, each from the head that the worker has seen. Returns those that are elsewhere by now.
create or replace function mpackd_move_branches_2(history jsonb, repos text[])
  returns table (place bigint, head text)
language plpgsql
set plan_cache_mode = force_generic_plan
as $move$
#variable_conflict use_variable
declare
  one record;
begin
  for one in
    select h.place, repos[h.place] as repo_id, h.branch->>'name' as name, h.branch->>'head' as to_head,
      h.branch->>'expected' as expected, (h.branch->>'force')::boolean as force
    from jsonb_to_recordset(history) as h(place bigint, branch jsonb)
    where repos[h.place] is not null and h.branch is not null
    order by repos[h.place] collate "C", h.branch->>'name' collate "C", h.place
  loop
    if one.expected is null or one.force then
      insert into musehub_branches as b (branch_id, repo_id, name, head_commit_id, updated_at)
      values (gen_random_uuid()::text, one.repo_id, one.name, one.to_head, now())
      on conflict (repo_id, name) do update
        set head_commit_id = excluded.head_commit_id, updated_at = now()
        where one.force or b.head_commit_id is null;
      if found then
        -- The first branch of a repo is its default.
        update musehub_repos r set default_branch = one.name
        where r.repo_id = one.repo_id and r.default_branch is distinct from one.name
          and (r.default_branch is null or not exists (
            select from musehub_branches b where b.repo_id = r.repo_id and b.name = r.default_branch));
        continue;
      end if;
    else
      update musehub_branches b set head_commit_id = one.to_head, updated_at = now()
      where b.repo_id = one.repo_id and b.name = one.name and b.head_commit_id = one.expected;
      continue when found;
    end if;
    place := one.place;
    head := (
      select b.head_commit_id from musehub_branches b
      where b.repo_id = one.repo_id and b.name = one.name);
    return next;
  end loop;
end
$move$;

-- Annotations grow under one commit id. Above a mebibyte they do not: each push could add to them.
create or replace function mpackd_merge_annotations_2(old jsonb, new jsonb) returns jsonb
language sql immutable
as $merge$
  select case when octet_length(merged.value::text) > 1048576 then old else merged.value end
  from (
    select jsonb_build_object(
      'metadata', coalesce(old->'metadata', '{}') || coalesce(new->'metadata', '{}'),
      'reviewed_by', (
        select coalesce(jsonb_agg(distinct name order by name), '[]')
        from jsonb_array_elements_text(
          coalesce(old->'reviewed_by', '[]') || coalesce(new->'reviewed_by', '[]')) as name),
      'test_runs', greatest((old->>'test_runs')::numeric, (new->>'test_runs')::numeric, 0)) as value
  ) as merged
$merge$;

-- Writes the history of packs into the tables of their repos. No step joins tables, as in
-- mpackd_publish_2.
create or replace function mpackd_write_history_2(
  history jsonb, repos text[], pack_ids bigint[], staged_job text
) returns table (place bigint, commits bigint, snapshots bigint, tags bigint)
language plpgsql
set plan_cache_mode = force_generic_plan
as $history$
#variable_conflict use_column
declare
  zeros bigint[] := array_fill(0, array[cardinality(repos)]);
  commits_added bigint[] := zeros;
  snapshots_added bigint[] := zeros;
  tags_added bigint[] := zeros;
  staged_end integer := (history->0->>'end_batch')::integer;
  graph_end integer := (1 << 30) + (history->0->>'graph_batches')::integer;
  one record;
begin
  -- 1. Commits.
  for one in
    with rows as (
      select h.place, r.*
      from jsonb_to_recordset(history) as h(place bigint, commits jsonb)
      cross join lateral jsonb_to_recordset(h.commits) as r(commit_id text, snapshot_id text,
        author text, committed_at text, committed_time timestamptz, message text, annotations jsonb,
        record_offset bigint, record_bytes bigint)
      union all
      select 1, r.*
      from mpack_staged_records s
      cross join lateral jsonb_to_recordset(s.commits) as r(commit_id text, snapshot_id text,
        author text, committed_at text, committed_time timestamptz, message text, annotations jsonb,
        record_offset bigint, record_bytes bigint)
      where s.job_id = staged_job and s.batch < staged_end
    ), written as (
      insert into musehub_commit_refs (repo_id, commit_id, mpack_id, record_offset, record_bytes,
        snapshot_id, author, committed_at, committed_time, message, annotations)
      select distinct on (repos[r.place] collate "C", r.commit_id collate "C")
        repos[r.place], r.commit_id, pack_ids[r.place], r.record_offset, r.record_bytes,
        r.snapshot_id, r.author, r.committed_at, r.committed_time, r.message, r.annotations::json
      from rows r where repos[r.place] is not null
      order by repos[r.place] collate "C", r.commit_id collate "C", r.place, r.record_offset
      on conflict (repo_id, commit_id) do nothing
      returning mpack_id
    )
    select array_position(pack_ids, mpack_id) as place, count(*) from written group by mpack_id
  loop
    commits_added[one.place] := one.count;
  end loop;

  -- 2. Annotations of commits that were there. One by one: few have any that are new.
  for one in
    with rows as (
      select h.place, r.*
      from jsonb_to_recordset(history) as h(place bigint, commits jsonb)
      cross join lateral jsonb_to_recordset(h.commits)
        as r(commit_id text, annotations jsonb, record_offset bigint)
      where r.annotations is not null
      union all
      select 1, r.*
      from mpack_staged_records s
      cross join lateral jsonb_to_recordset(s.commits)
        as r(commit_id text, annotations jsonb, record_offset bigint)
      where s.job_id = staged_job and s.batch < staged_end and r.annotations is not null
    )
    select repos[r.place] as repo_id, r.commit_id, r.annotations
    from rows r
    cross join lateral (
      select c.annotations from musehub_commit_refs c
      where c.repo_id = repos[r.place] and c.commit_id = r.commit_id offset 0
    ) as c
    where c.annotations::jsonb is distinct from r.annotations
    order by repos[r.place] collate "C", r.commit_id collate "C", r.place, r.record_offset
  loop
    update musehub_commit_refs c
    set annotations = mpackd_merge_annotations_2(c.annotations::jsonb, one.annotations)::json,
      annotations_merged = true
    where c.repo_id = one.repo_id and c.commit_id = one.commit_id
      and c.annotations::jsonb
        is distinct from mpackd_merge_annotations_2(c.annotations::jsonb, one.annotations);
  end loop;

  -- 3. Snapshots.
  for one in
    with rows as (
      select h.place, r.*
      from jsonb_to_recordset(history) as h(place bigint, snapshots jsonb)
      cross join lateral jsonb_to_recordset(h.snapshots) as r(snapshot_id text, entries bigint,
        parent_snapshot_id text, delta_depth integer, record_offset bigint, record_bytes bigint)
      union all
      select 1, r.*
      from mpack_staged_records s
      cross join lateral jsonb_to_recordset(s.snapshots) as r(snapshot_id text, entries bigint,
        parent_snapshot_id text, delta_depth integer, record_offset bigint, record_bytes bigint)
      where s.job_id = staged_job and s.batch < staged_end
    ), written as (
      insert into musehub_snapshot_refs (repo_id, snapshot_id, mpack_id, record_offset, record_bytes,
        entries, parent_snapshot_id, delta_depth)
      select distinct on (repos[r.place] collate "C", r.snapshot_id collate "C")
        repos[r.place], r.snapshot_id, pack_ids[r.place], r.record_offset, r.record_bytes,
        r.entries, r.parent_snapshot_id, r.delta_depth
      from rows r where repos[r.place] is not null
      order by repos[r.place] collate "C", r.snapshot_id collate "C", r.place, r.record_offset
      on conflict (repo_id, snapshot_id) do nothing
      returning mpack_id
    )
    select array_position(pack_ids, mpack_id) as place, count(*) from written group by mpack_id
  loop
    snapshots_added[one.place] := one.count;
  end loop;

  -- 4. Records that an audit found damaged get their new place.
  if mpackd_has_damaged_records_2(array(select distinct u.repo from unnest(repos) as u(repo))) then
    perform mpackd_heal_records_2(history, repos, pack_ids, staged_job);
  end if;

  -- 5. The graph: new commits, and those that had to wait for an ancestor.
  with rows as (
    select h.place, r.*
    from jsonb_to_recordset(history) as h(place bigint, graph jsonb)
    cross join lateral jsonb_to_recordset(h.graph) as r(commit_id text, parent_ids text[],
      generation integer, depth integer, jump_id text, sort_time bigint)
    union all
    select 1, r.*
    from mpack_staged_records s
    cross join lateral jsonb_to_recordset(s.graph) as r(commit_id text, parent_ids text[],
      generation integer, depth integer, jump_id text, sort_time bigint)
    where s.job_id = staged_job and s.batch >= 1 << 30 and s.batch < graph_end
  )
  insert into musehub_commit_graph as g (repo_id, commit_id, parent_ids, generation, depth, jump_id,
    sort_time)
  select distinct on (repos[r.place] collate "C", r.commit_id collate "C")
    repos[r.place], r.commit_id, r.parent_ids, r.generation, r.depth, r.jump_id, r.sort_time
  from rows r where repos[r.place] is not null
  order by repos[r.place] collate "C", r.commit_id collate "C", r.generation nulls last
  on conflict (repo_id, commit_id) do update
    set generation = excluded.generation, depth = excluded.depth, jump_id = excluded.jump_id,
      sort_time = excluded.sort_time
    where g.generation is null and excluded.generation is not null;

  -- 6. Tags: those of commits that the repo has by now; a second push moves one.
  for one in
    with rows as (
      select h.place, r.*, 1 << 30 as batch
      from jsonb_to_recordset(history) as h(place bigint, tags jsonb)
      cross join lateral rows from (
        jsonb_to_recordset(h.tags) as (tag text, commit_id text, created_at timestamptz)
      ) with ordinality as r(tag, commit_id, created_at, nr)
      union all
      select 1, r.*, s.batch
      from mpack_staged_records s
      cross join lateral rows from (
        jsonb_to_recordset(s.tags) as (tag text, commit_id text, created_at timestamptz)
      ) with ordinality as r(tag, commit_id, created_at, nr)
      where s.job_id = staged_job and s.batch < staged_end
    ), written as (
      insert into musehub_tags as t (tag_id, repo_id, tag, commit_id, created_at)
      select distinct on (repos[r.place] collate "C", r.tag collate "C")
        gen_random_uuid()::text, repos[r.place], r.tag, r.commit_id, coalesce(r.created_at, now())
      from rows r
      cross join lateral (
        select from musehub_commit_refs c
        where c.repo_id = repos[r.place] and c.commit_id = r.commit_id offset 0
      ) as c
      order by repos[r.place] collate "C", r.tag collate "C", r.place desc, r.batch desc, r.nr desc
      on conflict (repo_id, tag) do update
        set commit_id = excluded.commit_id, created_at = excluded.created_at
        where t.commit_id <> excluded.commit_id
      returning repo_id
    )
    select array_position(repos, repo_id) as place, count(*) from written group by repo_id
  loop
    tags_added[one.place] := one.count;
  end loop;

  return query
    select w.place, w.commits, w.snapshots, w.tags
    from unnest(commits_added, snapshots_added, tags_added) with ordinality
      as w(commits, snapshots, tags, place);
end
$history$;

-- Gives records whose bytes an audit found damaged the place that a pack brings.
create or replace function mpackd_heal_records_2(
  history jsonb, repos text[], pack_ids bigint[], staged_job text
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $heal$
declare
  staged_end integer := (history->0->>'end_batch')::integer;
  one record;
begin
  for one in
    select rows.place, rows.commit_id, rows.snapshot_id, rows.record_offset, rows.record_bytes,
      rows.author, rows.committed_at, rows.committed_time, rows.message, rows.annotations
    from (
      select h.place, r.* from jsonb_to_recordset(history) as h(place bigint, commits jsonb)
      cross join lateral jsonb_to_recordset(h.commits) as r(commit_id text, snapshot_id text,
        author text, committed_at text, committed_time timestamptz, message text, annotations jsonb,
        record_offset bigint, record_bytes bigint)
      union all
      select 1, r.* from mpack_staged_records s
      cross join lateral jsonb_to_recordset(s.commits) as r(commit_id text, snapshot_id text,
        author text, committed_at text, committed_time timestamptz, message text, annotations jsonb,
        record_offset bigint, record_bytes bigint)
      where s.job_id = staged_job and s.batch < staged_end
    ) as rows
    cross join lateral (
      select from musehub_commit_refs c where c.repo_id = repos[rows.place]
        and c.commit_id = rows.commit_id and c.damaged_at is not null offset 0
    ) as damaged
    order by repos[rows.place] collate "C", rows.commit_id collate "C", rows.place, rows.record_offset
  loop
    update musehub_commit_refs c set mpack_id = pack_ids[one.place],
      record_offset = one.record_offset, record_bytes = one.record_bytes,
      snapshot_id = one.snapshot_id, author = one.author, committed_at = one.committed_at,
      committed_time = one.committed_time, message = one.message, damaged_at = null,
      annotations_merged = c.annotations::jsonb is distinct from one.annotations
    where c.repo_id = repos[one.place] and c.commit_id = one.commit_id and c.damaged_at is not null;
  end loop;
  for one in
    select rows.*
    from (
      select h.place, r.* from jsonb_to_recordset(history) as h(place bigint, snapshots jsonb)
      cross join lateral jsonb_to_recordset(h.snapshots) as r(snapshot_id text, entries bigint,
        parent_snapshot_id text, delta_depth integer, record_offset bigint, record_bytes bigint)
      union all
      select 1, r.* from mpack_staged_records s
      cross join lateral jsonb_to_recordset(s.snapshots) as r(snapshot_id text, entries bigint,
        parent_snapshot_id text, delta_depth integer, record_offset bigint, record_bytes bigint)
      where s.job_id = staged_job and s.batch < staged_end
    ) as rows
    cross join lateral (
      select from musehub_snapshot_refs s where s.repo_id = repos[rows.place]
        and s.snapshot_id = rows.snapshot_id and s.damaged_at is not null offset 0
    ) as damaged
    order by repos[rows.place] collate "C", rows.snapshot_id collate "C", rows.place,
      rows.record_offset
  loop
    update musehub_snapshot_refs s set mpack_id = pack_ids[one.place],
      record_offset = one.record_offset, record_bytes = one.record_bytes, entries = one.entries,
      parent_snapshot_id = one.parent_snapshot_id, delta_depth = one.delta_depth, damaged_at = null
    where s.repo_id = repos[one.place] and s.snapshot_id = one.snapshot_id
      and s.damaged_at is not null;
  end loop;
end
$heal$;

-- Notes in the tables that all repos share where records were seen first. Those of staged batches are
-- there already.
create or replace function mpackd_note_records_2(history jsonb, repos text[], uris text[])
  returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $note$
begin
  insert into musehub_commits (commit_id, storage_uri, record_offset, record_bytes)
  select distinct on (r.commit_id collate "C")
    r.commit_id, uris[h.place], r.record_offset, r.record_bytes
  from jsonb_to_recordset(history) as h(place bigint, commits jsonb)
  cross join lateral jsonb_to_recordset(h.commits)
    as r(commit_id text, record_offset bigint, record_bytes bigint)
  where repos[h.place] is not null
  order by r.commit_id collate "C", h.place, r.record_offset
  on conflict (commit_id) do nothing;
  insert into musehub_snapshots (snapshot_id, storage_uri, record_offset, record_bytes)
  select distinct on (r.snapshot_id collate "C")
    r.snapshot_id, uris[h.place], r.record_offset, r.record_bytes
  from jsonb_to_recordset(history) as h(place bigint, snapshots jsonb)
  cross join lateral jsonb_to_recordset(h.snapshots)
    as r(snapshot_id text, record_offset bigint, record_bytes bigint)
  where repos[h.place] is not null
  order by r.snapshot_id collate "C", h.place, r.record_offset
  on conflict (snapshot_id) do nothing;
end
$note$;
