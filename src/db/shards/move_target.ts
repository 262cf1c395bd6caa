/**
 * A move's statements on the server that gets the shard: schema and subscription.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { DURABLY, quoteName, quoteText, runText } from "./move_sql.ts";
import { letThrough } from "./repo_hold.ts";

/** Creating a subscription asks the source which tables it publishes. */
const SUBSCRIBE_DEADLINE_MS = 60_000;

/** Makes the schema, if it is not there. */
export async function createSchema(target: Database, schema: string): Promise<void> {
  await runText(target, "make a schema", `create schema if not exists ${quoteName(schema)}`);
}

/** Removes the row that `migrate()` has made: the source's identity comes in its place. */
export async function removeIdentity(target: Database): Promise<void> {
  await target.query("remove a new schema's identity")`delete from mpackd_database`;
}

/** The oid of a subscription of this database. */
export async function findSubscription(
  target: Database,
  name: string,
): Promise<number | undefined> {
  const [row] = await target.query<{ oid: number }>("look for a subscription")`
    select oid::bigint as oid from pg_subscription
    where subname = ${name}
      and subdbid = (select oid from pg_database where datname = current_database())`;
  return row?.oid;
}

/**
 * Subscribes to a publication, over the slot of the same name. The server begins to copy.
 *
 * The block looks at a table of the target first: a process that was taken for dead must not
 * subscribe for a move that was aborted, whose schema is gone.
 */
export async function createSubscription(
  target: Database,
  name: string,
  conninfo: string,
): Promise<void> {
  await runText(
    target,
    "subscribe to the shard",
    `do $subscribe$
    begin
      perform ${DURABLY};
      lock table mpackd_migrations in share mode;
      create subscription ${quoteName(name)} connection ${quoteText(conninfo)}
        publication ${quoteName(name)}
        with (create_slot = false, slot_name = ${quoteText(name)}, copy_data = true,
          -- By default its workers flush later than they say: after a crash a table could be half
          -- copied, and the slot that it has to go on from be gone.
          synchronous_commit = 'local');
    end
    $subscribe$`,
    { deadlineMs: SUBSCRIBE_DEADLINE_MS },
  );
}

/**
 * Connects from the target to the source as a subscription would, and leaves nothing: the block that
 * subscribes is undone by its last statement.
 *
 * @throws {DatabaseError} If the target cannot reach the source, or the role may not subscribe.
 */
export async function probeSource(target: Database, conninfo: string): Promise<void> {
  await runText(
    target,
    "connect from the target to the source",
    `do $probe$
    begin
      perform set_config('client_min_messages', 'error', true);
      begin
        create subscription mpackd_probe connection ${quoteText(conninfo)} publication mpackd_probe
          with (create_slot = false, slot_name = none, enabled = false, copy_data = false);
        raise exception using errcode = 'MPS02';
      exception when sqlstate 'MPS02' then
        null;
      end;
    end
    $probe$`,
    { deadlineMs: SUBSCRIBE_DEADLINE_MS },
  );
}

/** How far a subscription is. */
export interface Copying {
  readonly tables: number;
  /** Tables that are copied and follow. */
  readonly ready: number;
  /** Failures of the server's own workers so far; its log says why. */
  readonly errors: number;
  /** Bytes that running copies have read. */
  readonly copied_bytes: number;
  /** Tables that are copied, and go on from slots of their own: their oids. */
  readonly catching_up: readonly number[];
}

/** Looks how far a subscription is. */
export async function readCopying(target: Database, name: string): Promise<Copying | undefined> {
  const [row] = await target.query<Copying>("look at a subscription")`
    select count(r.srrelid)::int as tables,
      (count(r.srrelid) filter (where r.srsubstate = 'r'))::int as ready,
      coalesce(max(t.apply_error_count + t.sync_error_count), 0)::int as errors,
      (select coalesce(sum(c.bytes_processed), 0)::bigint from pg_stat_progress_copy c
        where c.datname = current_database()) as copied_bytes,
      to_json(coalesce(array_agg(r.srrelid::bigint) filter (where r.srsubstate = 'f'), '{}'))
        as catching_up
    from pg_subscription s
    join pg_database d on d.oid = s.subdbid and d.datname = current_database()
    left join pg_subscription_rel r on r.srsubid = s.oid
    left join pg_stat_subscription_stats t on t.subid = s.oid
    where s.subname = ${name}
    group by s.oid`;
  return row;
}

/** Removes a subscription, if it is there, without a word to the source. Its workers end. */
export async function dropSubscription(target: Database, name: string): Promise<void> {
  const quoted = quoteName(name);
  await runText(
    target,
    "remove a subscription",
    `do $drop$
    begin
      if exists (select from pg_subscription where subname = ${quoteText(name)}
        and subdbid = (select oid from pg_database where datname = current_database()))
      then
        perform ${DURABLY};
        alter subscription ${quoted} disable;
        alter subscription ${quoted} set (slot_name = none);
        drop subscription ${quoted};
      end if;
    end
    $drop$`,
    { deadlineMs: SUBSCRIBE_DEADLINE_MS },
  );
}

/** The last value of a sequence; null if it was never used. */
export interface SequenceThere {
  readonly name: string;
  readonly last: number | null;
}

/** Lists the sequences of the source. */
export async function readSequences(source: Database): Promise<SequenceThere[]> {
  return await source.query<SequenceThere>("read the sequences of a shard")`
    select sequencename::text as name, last_value as last from pg_sequences
    where schemaname = current_schema() order by 1`;
}

/** Sets the target's sequences to the source's last values: the next ones are behind them. */
export async function setSequences(
  target: Database,
  sequences: readonly SequenceThere[],
): Promise<void> {
  await target.query("set the sequences of a shard")`
    select ${target.sql.unsafe(DURABLY)}, setval(to_regclass(quote_ident(s.name)), s.last)
    from jsonb_to_recordset(${JSON.stringify(sequences)}::text::jsonb) as s(name text, last bigint)
    where s.last is not null and to_regclass(quote_ident(s.name)) is not null`;
}

/**
 * Puts the jobs back whose attempts the fence has ended: nothing of what they did later can be
 * written. The attempts are not counted. What was staged for them is not here, so they start over.
 * A push comes once, so its job has one attempt: it fails, and its client pushes again.
 *
 * @param ofRepo Only those of a repo that moves.
 */
export async function putJobsBack(
  target: Database,
  ofRepo?: { readonly repoId: string; readonly moveId: string },
): Promise<number> {
  const isOurs = ofRepo === undefined
    ? target.sql`true`
    : target.sql`repo_id = ${ofRepo.repoId} and ${letThrough(target, ofRepo.moveId)}`;
  const [{ count }] = await target.query<{ count: number }>("put running jobs back")`
    with running as materialized (
      select job_id from musehub_background_jobs
      where status = 'running' and isfinite(lease_expires_at) and ${isOurs}
      order by job_id for update
    ), noted as (
      insert into mpackd_attempts (job_id, fence, attempt, worker, started_at, outcome, code)
      select j.job_id, coalesce(j.fence, 0), j.attempt, j.locked_by, j.started_at, 'released',
        'shard-moved'
      from musehub_background_jobs j join running on running.job_id = j.job_id
      order by j.job_id
      on conflict do nothing
    ), released as (
      update musehub_background_jobs j set lease_expires_at = null, run_at = null,
        status = case when j.max_attempts = 1 then 'failed' else 'pending' end,
        attempt = case when j.max_attempts = 1 then j.attempt else greatest(j.attempt - 1, 0) end,
        finished_at = case when j.max_attempts = 1 then now() end,
        checkpoint = case when j.max_attempts = 1 then null else j.checkpoint end,
        last_error = case when j.max_attempts = 1 then json_build_object('code', 'shard-moved',
            'message', 'its rows moved to another server during the attempt', 'retryable', true,
            'at', now())
          else j.last_error end
      from running where j.job_id = running.job_id
      returning 1
    )
    select count(*)::int as count, ${target.sql.unsafe(DURABLY)} from released`;
  return count;
}

/** Removes a schema that a move has made, or all that it has made in one that was there, empty. */
export async function dropSchema(
  target: Database,
  schema: string,
  { isWhole }: { readonly isWhole: boolean },
): Promise<void> {
  const name = quoteName(schema), text = quoteText(schema);
  await runText(
    target,
    "remove a schema",
    isWhole ? `drop schema if exists ${name} cascade` : `do $empty$
      declare
        one record;
      begin
        for one in
          select case c.relkind when 'v' then 'view' else 'table' end as kind, c.oid::regclass as name
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = ${text} and c.relkind in ('r', 'v')
          order by c.relkind = 'r'
        loop
          execute format('drop %s if exists %s cascade', one.kind, one.name);
        end loop;
        for one in
          select p.oid::regprocedure as name from pg_proc p
          join pg_namespace n on n.oid = p.pronamespace
          where n.nspname = ${text} and starts_with(p.proname, 'mpackd_')
        loop
          execute format('drop function %s cascade', one.name);
        end loop;
        for one in
          select t.oid::regtype as name from pg_type t
          join pg_namespace n on n.oid = t.typnamespace
          left join pg_class c on c.oid = t.typrelid
          where n.nspname = ${text} and t.typtype = 'c' and c.relkind = 'c'
        loop
          execute format('drop type %s cascade', one.name);
        end loop;
      end
      $empty$`,
    { deadlineMs: 10 * 60_000 },
  );
}
