-- Stages a batch, extends the lease, and records progress and checkpoint. Returns no row if the lease
-- is lost. Version 2 also takes encodings and records of history.
create or replace function mpackd_stage_2(
  of_job text, under_fence bigint, of_repo text, lease_ms float8,
  new_progress json, has_checkpoint boolean, new_checkpoint json,
  of_batch integer, is_first boolean, ids text[], offsets bigint[], sizes bigint[],
  encoded text[],           -- null: all plain
  new_commits jsonb, new_snapshots jsonb, new_tags jsonb  -- all null: no records
) returns table ("cancelRequested" boolean)
language plpgsql
as $stage$
#variable_conflict use_column
declare
  is_cancelled boolean;
begin
  -- 1. The job's row first: if another worker is claiming it, this waits and then finds no row.
  update musehub_background_jobs set
    lease_expires_at = now() + lease_ms * interval '1 ms',
    progress = new_progress,
    checkpoint = case when has_checkpoint then new_checkpoint else checkpoint end
  where job_id = of_job and fence = under_fence and status = 'running'
  returning coalesce(cancel_requested, false) into is_cancelled;
  if not found then return; end if;

  -- 2. The first batch of an attempt deletes the batches that this attempt does not continue.
  if is_first then
    delete from mpack_staged_objects where job_id = of_job and batch >= of_batch;
    delete from mpack_staged_records where job_id = of_job and batch >= of_batch;
  end if;

  -- 3. The rows, with a note of which ids are known by now: the publish inserts the others without
  -- a conflict check.
  insert into mpack_staged_objects (job_id, fence, batch, rows, object_ids, content_offsets,
    sizes_bytes, known_objects, known_refs, encodings)
  select of_job, under_fence, of_batch, cardinality(ids), ids, offsets, sizes,
    known.known_objects, known.known_refs, encoded
  from mpackd_known_objects(of_repo, ids) as known
  on conflict (job_id, batch) do update set
    fence = excluded.fence, rows = excluded.rows, object_ids = excluded.object_ids,
    content_offsets = excluded.content_offsets, sizes_bytes = excluded.sizes_bytes,
    known_objects = excluded.known_objects, known_refs = excluded.known_refs,
    encodings = excluded.encodings;

  -- 4. The records of history.
  if new_commits is not null or new_snapshots is not null or new_tags is not null then
    insert into mpack_staged_records (job_id, fence, batch, commits, snapshots, tags)
    values (of_job, under_fence, of_batch, new_commits, new_snapshots, new_tags)
    on conflict (job_id, batch) do update set
      fence = excluded.fence, commits = excluded.commits, snapshots = excluded.snapshots,
      tags = excluded.tags, graph = null;
  end if;

  return query select is_cancelled;
end
$stage$;

-- Stages rows of the commit graph: they are known only when the whole pack was read. Returns no row if
-- the lease is lost.
create or replace function mpackd_stage_graph_1(
  of_job text, under_fence bigint, of_batch integer, new_graph jsonb
) returns table ("cancelRequested" boolean)
language plpgsql
as $stage$
#variable_conflict use_column
begin
  select coalesce(j.cancel_requested, false) into "cancelRequested"
  from musehub_background_jobs j
  where j.job_id = of_job and j.fence = under_fence and j.status = 'running' for update;
  if not found then return; end if;
  insert into mpack_staged_records (job_id, fence, batch, graph)
  values (of_job, under_fence, of_batch, new_graph)
  on conflict (job_id, batch) do update set
    fence = excluded.fence, commits = null, snapshots = null, tags = null, graph = excluded.graph;
  return next;
end
$stage$;
