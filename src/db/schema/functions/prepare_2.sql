-- Prepares the publish of a proved pack whose rows are staged: looks for whatever forbids it, and
-- sorts the rows by id if they are not sorted, so that all statements after this one insert in the
-- order of ids without a sort.
--
-- Holds the job's row only at its end, because a sort takes seconds and the lease must be renewed
-- meanwhile. Returns no row if the lease is lost, and raises MP001 if it is lost by then. Version 2
-- also takes encodings.
create or replace function mpackd_prepare_2(
  of_job text, under_fence bigint, of_repo text, of_blob text,
  staged_batches integer,   -- the rows: batches 0 up to before this one, then those in the arrays
  last_ids text[], last_offsets bigint[], last_sizes bigint[],
  last_encodings text[],    -- null: all plain
  expected_rows bigint,
  is_sorted boolean,        -- true if the ids rise strictly from the first row to the last
  is_fresh boolean          -- true if what the batches note of known ids may be trusted
) returns table (
  outcome text,             -- ready, rows-missing, conflict, repo-deleted or tombstoned
  rows_found bigint, conflict_id text, first_offset bigint, second_offset bigint, duplicates bigint,
  first_batch integer, end_batch integer,    -- where the sorted rows are
  new_batches integer[], new_rows integer[]  -- those of them that may have new objects, and their rows
)
language plpgsql
-- The planner cannot know how long the arrays are; a hash table of them may not fit into memory. Only
-- mpackd's own table is written here, so this setting reaches no trigger of another program.
set enable_hashagg = off
as $prepare$
#variable_conflict use_variable
declare
  rows_per_batch constant integer := 5000;
  -- Sorted batches are numbered from here on, so they never meet those that a checkpoint counts.
  sorted_from constant integer := 1 << 30;
  one record;
begin
  duplicates := 0;
  first_batch := 0;
  end_batch := staged_batches;

  -- 1. Is the job still held, and are all rows there? A crash of the server empties the unlogged
  -- staging table.
  if not exists (
    select from musehub_background_jobs j
    where j.job_id = of_job and j.fence = under_fence and j.status = 'running')
  then
    return;
  end if;
  select coalesce(sum(s.rows), 0) + cardinality(last_ids) into rows_found
  from mpack_staged_objects s where s.job_id = of_job and s.batch < staged_batches;
  if rows_found <> expected_rows then
    outcome := 'rows-missing';
    return next;
    return;
  end if;

  -- 2. Sort. Of rows with one id the first in the pack counts; two sizes for one id are a conflict.
  if not is_sorted then
    -- Numbers that no earlier attempt used: to delete its rows now could deadlock with the attempt
    -- that comes after this one.
    select greatest(sorted_from, max(s.batch) + 1) into first_batch
    from mpack_staged_objects s where s.job_id = of_job;
    end_batch := first_batch;
    for one in
      select count(*) filter (where is_duplicate) as duplicates,
        min(content_offset) filter (where is_conflict) as conflict_at,
        array_agg(object_id) filter (where not is_duplicate) as ids,
        array_agg(content_offset) filter (where not is_duplicate) as offsets,
        array_agg(size_bytes) filter (where not is_duplicate) as sizes,
        array_agg(is_known_object) filter (where not is_duplicate) as known_objects,
        array_agg(is_known_ref) filter (where not is_duplicate) as known_refs,
        array_agg(encoding) filter (where not is_duplicate) as encodings,
        bool_or(encoding is not null) filter (where not is_duplicate) as is_encoded
      from (
        select *, (row_number() over same - 1) / rows_per_batch as part,
          coalesce(lag(object_id) over same = object_id, false) as is_duplicate,
          -- The length of an encoded copy proves nothing: it is not that of the object.
          lag(object_id) over same = object_id and lag(size_bytes) over same <> size_bytes
            and encoding is null and lag(encoding) over same is null as is_conflict
        from (
          select u.*
          from mpack_staged_objects s,
            unnest(s.object_ids, s.content_offsets, s.sizes_bytes, s.known_objects, s.known_refs,
              s.encodings)
              as u(object_id, content_offset, size_bytes, is_known_object, is_known_ref, encoding)
          where s.job_id = of_job and s.batch < staged_batches
          union all
          select u.*
          from mpackd_known_objects(of_repo, last_ids) as known,
            unnest(last_ids, last_offsets, last_sizes, known.known_objects, known.known_refs,
              last_encodings) as u
        ) as rows
        window same as (order by object_id collate "C", content_offset)
        order by part, object_id collate "C", content_offset
      ) as rows
      group by part order by part
    loop
      duplicates := duplicates + one.duplicates;
      second_offset := least(second_offset, one.conflict_at);
      continue when one.ids is null or second_offset is not null;
      insert into mpack_staged_objects (job_id, fence, batch, rows, object_ids, content_offsets,
        sizes_bytes, known_objects, known_refs, encodings)
      values (of_job, under_fence, end_batch, cardinality(one.ids), one.ids, one.offsets, one.sizes,
        one.known_objects, one.known_refs, case when one.is_encoded then one.encodings end);
      end_batch := end_batch + 1;
    end loop;
  end if;

  -- 3. The job's row, under the fence: what was written above goes if another worker has the job.
  perform from musehub_background_jobs j
  where j.job_id = of_job and j.fence = under_fence and j.status = 'running' for update;
  if not found then
    raise exception 'job % is no longer held under fence %', of_job, under_fence
      using errcode = 'MP001';
  end if;
  if is_sorted and cardinality(last_ids) > 0 then
    insert into mpack_staged_objects as s (job_id, fence, batch, rows, object_ids, content_offsets,
      sizes_bytes, known_objects, known_refs, encodings)
    select of_job, under_fence, staged_batches, cardinality(last_ids), last_ids, last_offsets,
      last_sizes, known.known_objects, known.known_refs, last_encodings
    from mpackd_known_objects(of_repo, last_ids) as known
    on conflict (job_id, batch) do update set
      fence = excluded.fence, rows = excluded.rows, object_ids = excluded.object_ids,
      content_offsets = excluded.content_offsets, sizes_bytes = excluded.sizes_bytes,
      known_objects = excluded.known_objects, known_refs = excluded.known_refs,
      encodings = excluded.encodings;
    end_batch := staged_batches + 1;
  end if;
  delete from mpack_staged_objects s
  where s.job_id = of_job and s.batch >= sorted_from and s.batch < first_batch;

  -- 4. What forbids the publish, and else what there is to write.
  if second_offset is not null then
    outcome := 'conflict';
    select u.object_id into conflict_id
    from mpack_staged_objects s, unnest(s.object_ids, s.content_offsets) as u(object_id, at)
    where s.job_id = of_job and s.batch < staged_batches and u.at = second_offset
    union all
    select u.object_id from unnest(last_ids, last_offsets) as u(object_id, at)
    where u.at = second_offset;
    select max(at) into first_offset from (
      select u.object_id, u.at
      from mpack_staged_objects s, unnest(s.object_ids, s.content_offsets) as u(object_id, at)
      where s.job_id = of_job and s.batch < staged_batches
      union all
      select u.object_id, u.at from unnest(last_ids, last_offsets) as u(object_id, at)
    ) as rows
    where object_id = conflict_id and at < second_offset;
  elsif exists (
    select from musehub_repos r where r.repo_id = of_repo and r.deleted_at is not null)
  then
    outcome := 'repo-deleted';
  -- A tombstone that is an hour old is of a gc that was killed.
  elsif exists (
    select from mpackd_tombstones t
    where t.name in (of_blob, of_repo) and t.created_at > now() - interval '1 hour')
  then
    outcome := 'tombstoned';
  else
    outcome := 'ready';
    select array_agg(s.batch order by s.batch), array_agg(s.rows order by s.batch)
      into new_batches, new_rows
    from mpack_staged_objects s
    where s.job_id = of_job and s.batch >= first_batch and s.batch < end_batch
      and (not is_fresh or false = any(s.known_objects));
  end if;
  return next;
end
$prepare$;
