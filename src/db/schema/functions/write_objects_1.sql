-- Writes some rows of a sorted staged batch into the table that all repos share. All repos meet in its
-- rows, so a statement holds few of them, for a short time. Returns no row if the lease is lost.
create or replace function mpackd_write_objects_1(
  of_job text, under_fence bigint, uri text,
  of_batch integer, first_row integer, last_row integer,
  is_fresh boolean          -- true if what the batch notes of known ids may be trusted
) returns table ("cancelRequested" boolean)
language plpgsql
as $write$
#variable_conflict use_variable
declare
  ids text[];
  offsets bigint[];
  sizes bigint[];
  known boolean[];
  written bigint;
begin
  -- The publish that comes after this is durable only together with all that was written before it.
  perform set_config('synchronous_commit', 'off', true);

  -- 1. The job's row, under the fence.
  select coalesce(j.cancel_requested, false) into "cancelRequested"
  from musehub_background_jobs j
  where j.job_id = of_job and j.fence = under_fence and j.status = 'running' for update;
  if not found then return; end if;

  -- 2. The objects. If an id became known since the batch was staged, look at each one.
  select s.object_ids[first_row:last_row], s.content_offsets[first_row:last_row],
      s.sizes_bytes[first_row:last_row], s.known_objects[first_row:last_row]
    into ids, offsets, sizes, known
  from mpack_staged_objects s where s.job_id = of_job and s.batch = of_batch;
  if is_fresh then
    begin
      insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
      select u.object_id, uri, u.size_bytes, u.content_offset
      from unnest(ids, sizes, offsets, known) as u(object_id, size_bytes, content_offset, is_known)
      where u.is_known is not true;
      get diagnostics written = row_count;
    exception when unique_violation then
      is_fresh := false;
    end;
  end if;
  if not is_fresh then
    insert into musehub_objects (object_id, storage_uri, size_bytes, content_offset)
    select u.object_id, uri, u.size_bytes, u.content_offset
    from unnest(ids, sizes, offsets) as u(object_id, size_bytes, content_offset)
    on conflict (object_id) do nothing;
    get diagnostics written = row_count;
  end if;

  -- 3. The count, in the same transaction: a later attempt goes on counting from here.
  if written > 0 then
    update musehub_background_jobs j set objects_written = coalesce(j.objects_written, 0) + written
    where j.job_id = of_job;
  end if;
  return next;
end
$write$;
