/**
 * What webhooks had to be told, and what they are told: triggers of the simulator write both down, with
 * the transaction that it happened in.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";

/** Begins to write down. */
export async function installOutboxLog({ sql }: Database): Promise<void> {
  await sql`create table truth (xid xid8, repo_id text, event text, about text)`;
  await sql`create table outbox_log (delivery_id text, webhook_id text, event text, payload text,
    xid xid8)`;
  await sql`create table hook_log (webhook_id text, is_heard boolean)`;
  await sql.unsafe(`
    create function log_job() returns trigger language plpgsql as $$
    begin
      insert into truth values (pg_current_xact_id(), new.repo_id,
        case new.status when 'done' then 'pack.published' else 'pack.failed' end, new.job_id);
      return null;
    end $$`);
  await sql.unsafe(`
    create function log_branch() returns trigger language plpgsql as $$
    begin
      insert into truth values (pg_current_xact_id(), coalesce(new.repo_id, old.repo_id),
        'branch.moved', concat_ws(' ', coalesce(new.name, old.name),
          coalesce(old.head_commit_id, '-'), coalesce(new.head_commit_id, '-')));
      return null;
    end $$`);
  await sql.unsafe(`
    create function log_delivery() returns trigger language plpgsql as $$
    begin
      insert into outbox_log
      values (new.delivery_id, new.webhook_id, new.event, new.payload, pg_current_xact_id());
      return null;
    end $$`);
  await sql.unsafe(`
    create function log_hook() returns trigger language plpgsql as $$
    begin
      insert into hook_log values (old.webhook_id, false);
      return null;
    end $$`);
  await sql`create trigger log_job after update on musehub_background_jobs for each row
    when (new.status in ('done', 'failed') and old.status not in ('done', 'failed'))
    execute function log_job()`;
  await sql`create trigger log_branch after insert or delete on musehub_branches for each row
    execute function log_branch()`;
  await sql`create trigger log_branch_move after update on musehub_branches for each row
    when (old.head_commit_id is distinct from new.head_commit_id) execute function log_branch()`;
  await sql`create trigger log_delivery after insert on mpackd_deliveries for each row
    execute function log_delivery()`;
  await sql`create trigger log_hook after delete on mpackd_webhooks for each row
    execute function log_hook()`;
  await sql`create trigger log_hook_disabled after update on mpackd_webhooks for each row
    when (new.disabled_at is not null) execute function log_hook()`;
}

/** What happened, what was written for it, and what of that is wrong. */
export interface Outbox {
  readonly events: number;
  readonly deliveries: Map<string, { readonly webhookId: string; readonly payload: string }>;
  readonly problems: readonly string[];
}

/**
 * Compares the outbox with what happened: a webhook has each event once, from the same transaction, and
 * nothing else. One that was disabled for a time, removed, or added later may lack some.
 */
export async function wrongOutbox(
  { sql }: Database,
  hooks: readonly { webhookId: string; repoId: string; events: readonly string[] }[],
): Promise<Outbox> {
  const truth = await sql<{ xid: string; repo_id: string; event: string; about: string }[]>`
    select xid::text, repo_id, event, about from truth`;
  const log = await sql<Record<"id" | "webhook_id" | "event" | "payload" | "xid", string>[]>`
    select delivery_id as id, webhook_id, event, payload, xid::text from outbox_log`;
  const deaf = new Set((await sql`select webhook_id from hook_log`).map((row) => row.webhook_id));
  const firstIds = new Set(hooks.slice(0, 10).map(({ webhookId }) => webhookId));
  const problems: string[] = [];
  for (const { webhookId, repoId, events } of hooks) {
    const wanted = truth.filter((one) => one.repo_id === repoId && events.includes(one.event))
      .map(({ xid, event, about }) => `${xid} ${event} ${about}`);
    const told = log.filter((one) => one.webhook_id === webhookId && one.event !== "webhook.test")
      .map(({ xid, event, payload }) => `${xid} ${event} ${aboutOf(payload)}`);
    const isWhole = firstIds.has(webhookId) && !deaf.has(webhookId);
    for (const one of new Set(told)) {
      if (!wanted.includes(one)) problems.push(`${webhookId} is told of ${one}, which was not`);
    }
    if (new Set(told).size !== told.length) {
      problems.push(`${webhookId} is told of something twice`);
    }
    for (const one of isWhole ? wanted : []) {
      if (!told.includes(one)) problems.push(`${webhookId} is not told of ${one}`);
    }
  }
  const deliveries = new Map(
    log.map(({ id, webhook_id: webhookId, payload }) => [id, { webhookId, payload }]),
  );
  return { events: truth.length, deliveries, problems };
}

function aboutOf(payload: string): string {
  const { data } = JSON.parse(payload);
  return data.job_id ?? [data.branch, data.from ?? "-", data.to ?? "-"].join(" ");
}
