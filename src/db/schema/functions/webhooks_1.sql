-- Webhooks, and the outbox of what they are to be told.
--
-- Triggers write the outbox, in the statement that ends a job or moves a branch, whichever program
-- sends it. For a repo without a webhook they look one index up and are done.
create table if not exists mpackd_webhooks (
  webhook_id text collate "C" primary key,
  repo_id text collate "C" not null,
  url text not null,
  -- Of the URL: one host gets few deliveries at once.
  host text collate "C" not null,
  events text[] not null,
  secret text not null,
  -- The secret before the last rotation signs, too, until this time.
  old_secret text,
  old_secret_until timestamptz,
  created_at timestamptz not null default now(),
  -- Since when no delivery has succeeded; null after one has.
  failing_since timestamptz,
  disabled_at timestamptz,
  note text
);
create index if not exists mpackd_webhooks_repo on mpackd_webhooks (repo_id);

create table if not exists mpackd_deliveries (
  delivery_id text collate "C" primary key
    default 'msg_' || replace(gen_random_uuid()::text, '-', ''),
  webhook_id text collate "C" not null,
  event text not null,
  -- The body, as it is signed and sent by every attempt.
  payload text not null,
  status text not null default 'pending' check (status in ('pending', 'delivered', 'dead')),
  attempts integer not null default 0,
  created_at timestamptz not null default now(),
  run_at timestamptz not null default now(),
  -- A worker sends it until then.
  leased_until timestamptz,
  ended_at timestamptz,
  -- Asked for by somebody: it is sent although the webhook is disabled.
  is_asked boolean not null default false,
  log jsonb not null default '[]'
);
create index if not exists mpackd_deliveries_pending
  on mpackd_deliveries (webhook_id, run_at, delivery_id) where status = 'pending';
create index if not exists mpackd_deliveries_leased
  on mpackd_deliveries (webhook_id) where leased_until is not null;
create index if not exists mpackd_deliveries_listed
  on mpackd_deliveries (webhook_id, created_at desc, delivery_id desc);
create index if not exists mpackd_deliveries_ended
  on mpackd_deliveries (ended_at) where ended_at is not null;

-- Adds a delivery for each webhook of the repo that wants the event. `details` are read only then.
create or replace function mpackd_note_event_1(of_repo text, of_event text, details jsonb)
  returns void language plpgsql as $note$
begin
  insert into mpackd_deliveries (webhook_id, event, payload)
  select w.webhook_id, of_event, jsonb_build_object(
    'type', of_event,
    'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'data', jsonb_build_object('repo_id', of_repo, 'owner', r.owner, 'slug', r.slug) || details)::text
  from mpackd_webhooks w, musehub_repos r
  where w.repo_id = of_repo and w.disabled_at is null and of_event = any(w.events)
    and r.repo_id = of_repo and r.deleted_at is null
  order by w.webhook_id;
  if found then
    perform mpackd_notify_1('webhooks');
  end if;
end
$note$;

create or replace function mpackd_note_job_1() returns trigger
  language plpgsql security definer as $note$
declare
  details jsonb;
begin
  perform from mpackd_webhooks w where w.repo_id = new.repo_id and w.disabled_at is null limit 1;
  if not found then
    return null;
  end if;
  details := jsonb_build_object('job_id', new.job_id,
    'mpack_key', mpackd_mpack_key(new.payload::text));
  begin
    if new.status = 'done' then
      details := details || jsonb_build_object(
        'size_bytes', new.result->'size_bytes', 'objects', new.result->'objects_total',
        'commits', new.result->'commits', 'snapshots', new.result->'snapshots',
        'tags', new.result->'tags', 'branch', new.result->'branch');
    else
      details := details || jsonb_build_object(
        'code', new.last_error->>'code', 'message', left(new.last_error->>'message', 2000),
        'offset_bytes', new.last_error->'offset_bytes');
    end if;
  exception when data_exception then
    -- Another program may have written what jsonb cannot hold; the event must not fail its statement.
    null;
  end;
  perform mpackd_note_event_1(new.repo_id,
    case new.status when 'done' then 'pack.published' else 'pack.failed' end, details);
  return null;
end
$note$;

create or replace function mpackd_note_branch_1() returns trigger
  language plpgsql security definer as $note$
declare
  was musehub_branches%rowtype;
  became musehub_branches%rowtype;
begin
  if tg_op <> 'INSERT' then
    was := old;
  end if;
  if tg_op <> 'DELETE' then
    became := new;
  end if;
  perform from mpackd_webhooks w
  where w.repo_id = coalesce(became.repo_id, was.repo_id) and w.disabled_at is null limit 1;
  if found and was.head_commit_id is distinct from became.head_commit_id then
    perform mpackd_note_event_1(coalesce(became.repo_id, was.repo_id), 'branch.moved',
      jsonb_build_object('branch', coalesce(became.name, was.name),
        'from', was.head_commit_id, 'to', became.head_commit_id));
  end if;
  return null;
end
$note$;

-- The triggers run for every program that may write the tables, also for one without rights to those
-- of webhooks: with the owner's rights, and in this schema whatever the caller's search_path.
execute format('alter function mpackd_note_job_1() set search_path = %I, pg_temp', current_schema());
execute format('alter function mpackd_note_branch_1() set search_path = %I, pg_temp',
  current_schema());
-- Whoever may make a trigger could otherwise tell of events that were none.
revoke execute on function mpackd_note_job_1(), mpackd_note_branch_1() from public;

create or replace trigger mpackd_note_job
  after update on musehub_background_jobs for each row
  when (new.status in ('done', 'failed') and old.status is distinct from new.status
    and new.job_type = 'mpack.index')
  execute function mpackd_note_job_1();
create or replace trigger mpackd_note_branch
  after insert or delete on musehub_branches for each row
  execute function mpackd_note_branch_1();
create or replace trigger mpackd_note_branch_move
  after update of head_commit_id on musehub_branches for each row
  when (old.head_commit_id is distinct from new.head_commit_id)
  execute function mpackd_note_branch_1();
