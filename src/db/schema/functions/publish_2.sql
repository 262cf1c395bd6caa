-- Publishes packs: their refs and history become visible, their branches move and their jobs are done,
-- each pack wholly or not at all.
--
-- Takes locks in one order, as every writer does: jobs, branches, packs, refs (of objects, commits and
-- snapshots), graph, tags, then the objects, commits and snapshots of all repos, and last the usage of
-- tenants; and each of these in the order of their keys. What all repos share comes late: whoever waits
-- for it waits for hardly anything else that this statement has to wait for.
--
-- A branch moves only from the head that the worker has compared with (compare-and-swap).
--
-- A setting of this function also reaches the triggers of other programs, so no kind of plan is
-- forbidden here. Instead no step joins tables: each looks rows up one by one, by an index, whatever
-- the planner believes about sizes.
create or replace function mpackd_publish_2(
  given jsonb,              -- array of mpackd_pack_1, no two with one mpack key; a staged one is alone
  places integer[],         -- of each row in memory: which pack brings it, counted from 1
  ids text[], offsets bigint[], sizes bigint[],
  encodings text[],         -- null: all plain
  maybe_known boolean[],    -- which ids to look up; the others are inserted without a conflict check.
                            -- null: check all
  lock_timeout_ms integer,  -- how long to wait for a lock; null: as long as it takes
  history jsonb             -- array of mpackd_history_2; null: no pack has any
) returns table (
  job_id text, outcome text, rows_found bigint, conflict jsonb, mpack_id bigint, objects bigint,
  refs bigint, duplicate_objects bigint, healed_refs bigint, result json,
  known_key text,           -- what was inserted without a check and known, in the server's words
  head text                 -- of outcome branch-moved: where the branch is now
)
language plpgsql
-- Planning takes longer than running these. The planner would go on planning anew for each call,
-- because it takes arrays of one element for cheaper than those of unknown length.
set plan_cache_mode = force_generic_plan
as $publish$
#variable_conflict use_column
declare
  packs mpackd_pack_1[];
  keys text[];
  uris text[];
  is_staged boolean;        -- then there is one pack
  is_sorted boolean;
  is_damaged boolean := false;

  -- What becomes of each pack, by its place. The repo of a pack that is not published is null.
  zeros bigint[] := array_fill(0, array[jsonb_array_length(given)]);
  repos text[] := array_fill(null::text, array[cardinality(zeros)]);
  outcomes text[] := repos;
  founds bigint[] := zeros;
  conflicts jsonb[];
  duplicates bigint[] := zeros;
  pack_ids bigint[] := zeros;
  known_packs bigint[];     -- those that were there before
  is_new boolean[];         -- those that this statement has made
  warnings jsonb;           -- limits of tenants that are nearly used up, by place
  starts timestamptz[];     -- since when each attempt counts on what is in the tables
  pushes boolean[] := array(
    select coalesce((g.pack->>'is_push')::boolean, false)
    from jsonb_array_elements(given) with ordinality as g(pack, place) order by g.place);
  repo_ranks bigint[];      -- repos by name, as numbers: these sort faster
  objects_added bigint[] := zeros;
  refs_added bigint[] := zeros;
  healed bigint[] := zeros;
  heads text[] := repos;
  history_added jsonb;
  written jsonb := '{"commits_written": 0, "snapshots_written": 0, "tags_written": 0}';

  known boolean[];
  conflict_detail text;
  is_inserted boolean;
  publish_ms integer;
  inserted bigint;
  one record;
begin
  if lock_timeout_ms is not null then
    perform set_config('lock_timeout', lock_timeout_ms::text, true);
  end if;
  select array_agg(p), array_agg(p.mpack_key), array_agg(p.storage_uri), array_agg(p.duplicates),
      bool_or(p.end_batch > 0), bool_and(p.is_sorted)
    into packs, keys, uris, duplicates, is_staged, is_sorted
    from jsonb_populate_recordset(null::mpackd_pack_1, given) as p;

  -- 1. Lock the jobs, each under its own fence.
  for one in
    select p.place, p.repo_id, j.status, case
        -- What the attempt continues was found by an earlier one.
        when (p.result->>'resumed_from_byte')::bigint > 0 then j.created_at
        else coalesce(j.started_at, now()) end as started_at
    from (
      select p.ordinality as place, p.* from unnest(packs) with ordinality as p
      order by p.job_id collate "C"
    ) as p
    cross join lateral (
      select j.status, j.started_at, j.created_at from musehub_background_jobs j
      where j.job_id = p.job_id and j.fence = p.fence for update
    ) as j
  loop
    continue when one.status <> 'running';
    repos[one.place] := one.repo_id;
    starts[one.place] := one.started_at;
    outcomes[one.place] := 'published';
  end loop;

  -- 2. Look at what is known of each pack, and refuse those that may not be published.
  if not is_sorted and not is_staged then
    for one in
      select rows.place, count(*) as duplicates,
        (array_agg(jsonb_build_object('object_id', rows.object_id, 'first_offset', rows.before,
          'second_offset', rows.content_offset) order by rows.content_offset)
          filter (where rows.is_conflict))[1] as conflict
      from (
        select u.*, lag(u.object_id) over same = u.object_id as is_duplicate,
          lag(u.content_offset) over same as before,
          -- The length of an encoded copy proves nothing: it is not that of the object.
          lag(u.size_bytes) over same <> u.size_bytes
            and u.encoding is null and lag(u.encoding) over same is null as is_conflict
        from unnest(places, ids, offsets, sizes, encodings)
          as u(place, object_id, content_offset, size_bytes, encoding)
        window same as (partition by u.place order by u.object_id collate "C", u.content_offset)
      ) as rows
      where rows.is_duplicate
      group by rows.place
    loop
      duplicates[one.place] := one.duplicates;
      conflicts[one.place] := one.conflict;
    end loop;
  end if;
  for one in
    select p.ordinality as place, p.objects as expected,
      case when p.end_batch = 0 then p.rows_in_memory else p.duplicates + (
        select coalesce(sum(s.rows), 0) from mpack_staged_objects s
        where s.job_id = p.job_id and s.batch >= p.first_batch and s.batch < p.end_batch
      ) end as found,
      -- A tombstone that is an hour old is of a gc that was killed.
      (
        select count(*) from mpackd_tombstones t
        where t.name in (p.blob_key, p.repo_id) and t.created_at > now() - interval '1 hour'
      ) > 0 as is_tombstoned,
      -- The attempt may have counted on rows that gc has deleted since (see collect_1.sql).
      (
        select count(*) from mpackd_collections c
        where c.repo_id = p.repo_id
          and coalesce(c.ended_at, c.expires_at) >= starts[p.ordinality]
      ) > 0 as is_held,
      (
        select count(*) from musehub_repos r
        where r.repo_id = p.repo_id and r.deleted_at is not null
      ) > 0 as is_repo_deleted,
      (
        select m.mpack_id from musehub_mpacks m
        where m.repo_id = p.repo_id and m.mpack_key = p.mpack_key
          and m.blob_key = p.blob_key and m.etag = p.etag
      ) as mpack_id,
      -- Counted: for "exists" the planner may choose a join that reads all refs.
      (
        select count(*) from (
          select from musehub_object_refs r
          where r.repo_id = p.repo_id and r.damaged_at is not null limit 100
        ) as damaged
      ) > 0 as is_damaged
    from unnest(packs) with ordinality as p
    where repos[p.ordinality] is not null
  loop
    if one.found <> one.expected then
      founds[one.place] := one.found;
      outcomes[one.place] := 'rows-missing';
    elsif conflicts[one.place] is not null then
      outcomes[one.place] := 'conflict';
    elsif one.is_repo_deleted then
      outcomes[one.place] := 'repo-deleted';
    elsif one.is_tombstoned then
      outcomes[one.place] := 'tombstoned';
    elsif one.is_held then
      outcomes[one.place] := 'held';
      update musehub_background_jobs j set checkpoint = null
      where j.job_id = packs[one.place].job_id;
    else
      pack_ids[one.place] := coalesce(one.mpack_id, 0);
      is_damaged := is_damaged or one.is_damaged;
      continue;
    end if;
    repos[one.place] := null;
  end loop;

  -- 3. Move the branches. A pack whose branch is no longer where it was is not published, and none
  -- whose staged records a crash of the server has emptied, or that may connect commits of its repo
  -- that wait for an ancestor, but has not looked at them.
  if history is not null then
    for one in
      select h.place from jsonb_to_recordset(history)
        as h(place bigint, end_batch integer, record_batches bigint, graph_batches integer)
      where repos[h.place] is not null and h.record_batches + h.graph_batches <> (
        select count(*) from mpack_staged_records s
        where s.job_id = packs[h.place].job_id
          and (s.batch < h.end_batch or s.batch >= 1 << 30 and s.batch < (1 << 30) + h.graph_batches))
    loop
      founds[one.place] := packs[one.place].objects;
      outcomes[one.place] := 'rows-missing';
      repos[one.place] := null;
    end loop;
    for one in
      select h.place from jsonb_to_recordset(history) as h(place bigint, saw_cut boolean)
      where repos[h.place] is not null and not h.saw_cut
        and mpackd_has_cut_commits_2(repos[h.place])
    loop
      outcomes[one.place] := 'cut-commits';
      repos[one.place] := null;
    end loop;
    for one in select moved.place, moved.head from mpackd_move_branches_2(history, repos) as moved loop
      outcomes[one.place] := 'branch-moved';
      heads[one.place] := one.head;
      repos[one.place] := null;
    end loop;
  end if;

  -- 4. Write the packs' own rows; a blob that has moved is followed.
  known_packs := pack_ids;
  is_new := array_fill(false, array[cardinality(zeros)]);
  for one in
    insert into musehub_mpacks as m (repo_id, mpack_key, blob_key, etag, size_bytes, objects,
      commits, snapshots, tags, is_push)
    select p.repo_id, p.mpack_key, p.blob_key, p.etag, p.size_bytes, p.objects, p.commits,
      p.snapshots, p.tags, pushes[p.ordinality]
    from unnest(packs) with ordinality as p
    where repos[p.ordinality] is not null and pack_ids[p.ordinality] = 0
    order by p.repo_id collate "C", p.mpack_key collate "C"
    on conflict (repo_id, mpack_key) do update set blob_key = excluded.blob_key, etag = excluded.etag,
      is_push = m.is_push and excluded.is_push
    -- A row that was there carries our lock.
    returning array_position(keys, m.mpack_key) as place, m.mpack_id, m.xmax = 0 as is_new
  loop
    pack_ids[one.place] := one.mpack_id;
    is_new[one.place] := one.is_new;
  end loop;
  -- What is indexed without a branch is needed without one. Those inserted above say so already.
  for one in
    select known.mpack_id from unnest(known_packs, pushes) as known(mpack_id, is_push)
    where known.mpack_id <> 0 and not known.is_push
    order by known.mpack_id
  loop
    update musehub_mpacks m set is_push = false where m.mpack_id = one.mpack_id and m.is_push;
  end loop;

  -- 5. Write the refs: without a conflict check where that is likely to succeed, else with one.
  is_inserted := false;
  if is_staged then
    if packs[1].is_fresh then
      begin
        insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes,
          encoding)
        select repos[1], u.object_id, pack_ids[1], u.content_offset, u.size_bytes, u.encoding
        from (
          select s.* from mpack_staged_objects s
          where s.job_id = packs[1].job_id and repos[1] is not null
            and s.batch >= packs[1].first_batch and s.batch < packs[1].end_batch
            and false = any(s.known_refs)
          order by s.batch
        ) as s, unnest(s.object_ids, s.content_offsets, s.sizes_bytes, s.known_refs, s.encodings)
          as u(object_id, content_offset, size_bytes, is_known, encoding)
        where not u.is_known;
        get diagnostics inserted = row_count;
        is_inserted := true;
      exception when unique_violation then
        null;
      end;
    end if;
    if not is_inserted then
      insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes,
        encoding)
      select repos[1], u.object_id, pack_ids[1], u.content_offset, u.size_bytes, u.encoding
      from (
        select s.* from mpack_staged_objects s
        where s.job_id = packs[1].job_id and repos[1] is not null
          and s.batch >= packs[1].first_batch and s.batch < packs[1].end_batch
        order by s.batch
      ) as s, unnest(s.object_ids, s.content_offsets, s.sizes_bytes, s.encodings)
        as u(object_id, content_offset, size_bytes, encoding)
      on conflict (repo_id, object_id) do nothing;
      get diagnostics inserted = row_count;
    end if;
    refs_added[1] := inserted;
  else
    repo_ranks := array(
      select dense_rank() over (order by u.repo collate "C")
      from unnest(repos) with ordinality as u(repo, place) order by u.place);
    if maybe_known is not null then
      if true = any(maybe_known) then
        known := array(
          select u.maybe_known and (
            select true from musehub_object_refs r
            where r.repo_id = repos[u.place] and r.object_id = u.object_id) is not null
          from unnest(places, ids, maybe_known) as u(place, object_id, maybe_known));
      end if;
      begin
        for one in
          with written as (
            insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes,
              encoding)
            select distinct on (repo_ranks[u.place], u.object_id collate "C")
              repos[u.place], u.object_id, pack_ids[u.place], u.content_offset, u.size_bytes, u.encoding
            from unnest(places, ids, offsets, sizes, known, encodings)
              as u(place, object_id, content_offset, size_bytes, is_known, encoding)
            where repos[u.place] is not null and u.is_known is not true
            order by repo_ranks[u.place], u.object_id collate "C", u.place, u.content_offset
            returning mpack_id
          )
          select array_position(pack_ids, mpack_id) as place, count(*) from written group by mpack_id
        loop
          refs_added[one.place] := one.count;
        end loop;
        is_inserted := true;
      exception when unique_violation then
        -- The insert is undone, the variables are not.
        refs_added := zeros;
        get stacked diagnostics conflict_detail = pg_exception_detail;
      end;
    end if;
    if not is_inserted then
      for one in
        with written as (
          insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes,
            encoding)
          select distinct on (repo_ranks[u.place], u.object_id collate "C")
            repos[u.place], u.object_id, pack_ids[u.place], u.content_offset, u.size_bytes, u.encoding
          from unnest(places, ids, offsets, sizes, encodings)
            as u(place, object_id, content_offset, size_bytes, encoding)
          where repos[u.place] is not null
          order by repo_ranks[u.place], u.object_id collate "C", u.place, u.content_offset
          on conflict (repo_id, object_id) do nothing
          returning mpack_id
        )
        select array_position(pack_ids, mpack_id) as place, count(*) from written group by mpack_id
      loop
        refs_added[one.place] := one.count;
      end loop;
    end if;
  end if;

  -- Replace damaged locations of refs that were there. (DO UPDATE in the insert would lock, and so
  -- rewrite, every known ref.) A pack that was caught with other bytes has them again.
  if is_damaged then
    for one in
      with damaged as materialized (
        select r.repo_id, r.object_id from musehub_object_refs r
        where r.repo_id = any(repos) and r.damaged_at is not null
      ), brought as materialized (
        -- "is true" keeps the lookup a hash table; as a join it would be planned for ten rows.
        select repos[rows.place] as repo_id, rows.* from (
          select u.place, u.object_id, u.content_offset, u.size_bytes, u.encoding
          from unnest(places, ids, offsets, sizes, encodings)
            as u(place, object_id, content_offset, size_bytes, encoding)
          union all
          select 1, u.object_id, u.content_offset, u.size_bytes, u.encoding
          from mpack_staged_objects s,
            unnest(s.object_ids, s.content_offsets, s.sizes_bytes, s.encodings)
              as u(object_id, content_offset, size_bytes, encoding)
          where s.job_id = packs[1].job_id
            and s.batch >= packs[1].first_batch and s.batch < packs[1].end_batch
        ) as rows
        where ((repos[rows.place], rows.object_id) in (select d.repo_id, d.object_id from damaged d))
          is true
        order by repos[rows.place] collate "C", rows.object_id collate "C", rows.place,
          rows.content_offset
      ), replaceable as materialized (
        select b.* from brought b cross join lateral (
          select from musehub_object_refs r
          where r.repo_id = b.repo_id and r.object_id = b.object_id and r.damaged_at is not null
            and (r.damage is distinct from 'lie' or r.mpack_id <> pack_ids[b.place])
          for update
        ) as r
      ), replaced as (
        update musehub_object_refs r set mpack_id = pack_ids[n.place],
          content_offset = n.content_offset, size_bytes = n.size_bytes, encoding = n.encoding,
          damaged_at = null, damage = null
        from (
          select distinct on (b.repo_id collate "C", b.object_id collate "C") b.* from replaceable b
          order by b.repo_id collate "C", b.object_id collate "C", b.place, b.content_offset
        ) as n
        where r.repo_id = n.repo_id and r.object_id = n.object_id
        returning n.place
      )
      select replaced.place, count(*) from replaced group by replaced.place
    loop
      healed[one.place] := one.count;
    end loop;
  end if;

  -- 6. Write the history: refs, graph and tags.
  if history is not null then
    select jsonb_object_agg(w.place, w) into history_added
    from mpackd_write_history_2(history, repos, pack_ids, packs[1].job_id) as w;
  end if;

  -- 7. Write the objects of the rows in memory, in the same way. Those of staged rows are there.
  is_inserted := is_staged;
  if not is_staged and maybe_known is not null then
    if true = any(maybe_known) then
      known := array(
        select u.maybe_known and (
          select true from musehub_objects o where o.object_id = u.object_id) is not null
        from unnest(ids, maybe_known) as u(object_id, maybe_known));
    end if;
    begin
      for one in
        with written as (
          insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
          select distinct on (u.object_id collate "C") u.object_id, uris[u.place], u.size_bytes,
            u.content_offset
          from unnest(places, ids, offsets, sizes, known)
            as u(place, object_id, content_offset, size_bytes, is_known)
          where repos[u.place] is not null and u.is_known is not true
          order by u.object_id collate "C", u.place, u.content_offset
          returning storage_uri
        )
        select array_position(uris, storage_uri) as place, count(*) from written group by storage_uri
      loop
        objects_added[one.place] := one.count;
      end loop;
      is_inserted := true;
    exception when unique_violation then
      objects_added := zeros;
      get stacked diagnostics conflict_detail = pg_exception_detail;
    end;
  end if;
  if not is_inserted then
    for one in
      with written as (
        insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
        select distinct on (u.object_id collate "C") u.object_id, uris[u.place], u.size_bytes,
          u.content_offset
        from unnest(places, ids, offsets, sizes) as u(place, object_id, content_offset, size_bytes)
        where repos[u.place] is not null
        order by u.object_id collate "C", u.place, u.content_offset
        on conflict (object_id) do nothing
        returning storage_uri
      )
      select array_position(uris, storage_uri) as place, count(*) from written group by storage_uri
    loop
      objects_added[one.place] := one.count;
    end loop;
  end if;

  if history is not null then
    perform mpackd_note_records_2(history, repos, uris);
  end if;

  -- 8. Count what the tenants have (usage_1.sql). Late, because other pushes of a tenant wait from here
  -- to the end. Who is over a quota fails the whole statement; its sender tries each pack alone.
  if true = any(is_new)
    and (given->0->'quota_defaults' <> '{}' or exists (select from mpackd_usage))
  then
    select mpackd_count_packs_1(
        array_agg(case when is_new[p.ordinality] then p.repo_id end order by p.ordinality),
        array_agg(p.size_bytes order by p.ordinality), array_agg(p.objects order by p.ordinality),
        array_agg(1::bigint), coalesce(given->0->'quota_defaults', '{}'))
      into warnings
      from unnest(packs) with ordinality as p;
  end if;

  -- 9. Finish the jobs. The objects that were written in batches are counted in the job's row.
  for one in
    select p.ordinality as place, p.* from unnest(packs) with ordinality as p
    order by p.job_id collate "C"
  loop
    job_id := one.job_id;
    outcome := outcomes[one.place];
    continue when outcome is null;
    known_key := conflict_detail;
    rows_found := founds[one.place];
    conflict := conflicts[one.place];
    head := heads[one.place];
    if outcome = 'published' then
      mpack_id := pack_ids[one.place];
      refs := refs_added[one.place];
      duplicate_objects := duplicates[one.place];
      healed_refs := healed[one.place];
      if one.fence > 1 or is_staged then
        perform mpackd_drop_staged(one.job_id);
      end if;
      if history_added is not null then
        written := jsonb_build_object(
          'commits_written', history_added->one.place::text->'commits',
          'snapshots_written', history_added->one.place::text->'snapshots',
          'tags_written', history_added->one.place::text->'tags');
      end if;
      publish_ms := one.elapsed_ms
        + round(1000 * extract(epoch from clock_timestamp() - statement_timestamp()));
      update musehub_background_jobs j set status = 'done', finished_at = now(),
        lease_expires_at = null, checkpoint = null, last_error = null, cancel_requested = null,
        objects_written = null,
        result = (one.result || written || jsonb_build_object(
          'job_id', j.job_id, 'repo_id', j.repo_id,
          'objects_written', coalesce(j.objects_written, 0) + objects_added[one.place],
          'object_refs_written', refs, 'duplicate_objects', duplicate_objects,
          'elapsed_ms', coalesce((one.result->>'elapsed_ms')::integer, 0) + publish_ms,
          'phases_ms', coalesce(one.result->'phases_ms', '{}')
            || jsonb_build_object('publish', publish_ms))
          || case when warnings ? one.place::text
            then jsonb_build_object('quota_warnings', warnings->one.place::text) else '{}' end)::json
      where j.job_id = one.job_id
      returning (j.result->>'objects_written')::bigint, j.result into objects, result;
    else
      mpack_id := null;
      result := null;
    end if;
    return next;
  end loop;
end
$publish$;
