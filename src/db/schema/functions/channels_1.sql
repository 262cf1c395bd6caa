-- What workers are woken by, and what they note about jobs of shards.

-- The channel of this schema's notifications. In public it is the one that older workers know. A
-- channel's name has at most 63 bytes, as a schema's has.
create or replace function mpackd_channel_1() returns text language sql stable
return case
  when current_schema() = 'public' then 'mpackd_jobs'
  when octet_length(current_schema()) <= 51 then 'mpackd_jobs:' || current_schema()
  else 'mpackd_jobs:' || left(encode(sha256(convert_to(current_schema(), 'UTF8')), 'hex'), 51)
end;

-- Wakes the workers of this schema. Messages: '' (jobs), 'webhooks', 'shards', 'resumed'.
create or replace function mpackd_notify_1(message text) returns void language sql volatile
return pg_notify(mpackd_channel_1(), message);

-- Listens to a channel; null: this schema's. Returns it.
create or replace function mpackd_listen_1(channel text) returns text language plpgsql as $listen$
begin
  channel := coalesce(channel, mpackd_channel_1());
  execute format('listen %I', channel);
  return channel;
end
$listen$;

create or replace function mpackd_wake() returns trigger language plpgsql as $wake$
begin
  perform mpackd_notify_1('');
  return null;
end
$wake$;
-- The table's schema, whatever the search_path of the program that inserts.
execute format('alter function mpackd_wake() set search_path = %I, pg_temp', current_schema());

-- Workers read the shards again when they change.
create or replace function mpackd_note_shards_1() returns trigger language plpgsql as $note$
begin
  perform mpackd_notify_1('shards');
  return null;
end
$note$;
execute format('alter function mpackd_note_shards_1() set search_path = %I, pg_temp',
  current_schema());
create or replace trigger mpackd_note_shards
  after insert or update or delete on mpackd_shards
  for each statement execute function mpackd_note_shards_1();

-- Jobs of the catalog's queue that a shard runs under the same id, because the repo lives there. The
-- catalog's row is pending until the shard's has ended.
create table if not exists mpackd_forwarded_jobs (
  job_id text collate "C" primary key,
  shard text collate "C" not null,
  -- Of the claim that forwarded it: a job that is tried again is forwarded again.
  fence bigint not null,
  -- Whether the shard was asked to cancel it.
  cancel_passed boolean not null default false
);
