/**
 * The deliveries of webhooks: what is to be sent, and what became of it.
 *
 * @module
 */

import type { Database } from "../client/database.ts";

/** Deliveries to one host at once, over all workers: a receiver that hangs takes no more places. */
const PER_HOST = 2;
/** The same for all webhooks of one owner. */
const PER_OWNER = 4;
/** Most attempts of one delivery that its log keeps. */
const MAX_LOG = 20;
const ROWS_PER_STATEMENT = 1_000;

/** How one attempt ended. */
export interface DeliveryAttempt {
  /** Status of the answer; null if there was none. */
  readonly status: number | null;
  readonly duration_ms: number;
  /** The first bytes of the answer, as text. */
  readonly answer: string | null;
  /** Why it failed; null if it did not. */
  readonly error: string | null;
}

/** A delivery that this worker sends now. */
export interface ClaimedDelivery {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly payload: string;
  readonly url: string;
  /** The secrets to sign with, the newest first. */
  readonly secrets: readonly string[];
  /** Which attempt this is, from 1. It fences what is recorded. */
  readonly attempt: number;
}

/** A delivery as people see it. */
export interface Delivery {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly event: string;
  readonly status: "pending" | "delivered" | "dead";
  readonly attempts: number;
  readonly createdAt: Date;
  /** When it is tried next, if it is pending. */
  readonly runAt: Date;
  readonly endedAt: Date | null;
  /** The last attempts, oldest first. */
  readonly log: readonly (DeliveryAttempt & { readonly attempt: number; readonly at: string })[];
}

/**
 * Claims deliveries that are due, for `leaseMs`. Webhooks take turns by host and by owner, whose
 * places are few: a receiver that hangs, with however many deliveries, delays no other.
 */
export async function claimDeliveries(
  db: Database,
  { limit, leaseMs }: { readonly limit: number; readonly leaseMs: number },
): Promise<ClaimedDelivery[]> {
  interface Columns extends Omit<ClaimedDelivery, "secrets"> {
    readonly secret: string;
    readonly old_secret: string | null;
  }
  const rows = await db.query<Columns>("claim deliveries")`
    with recursive waiting as (
      -- The webhooks with something to send, one index lookup each.
      select min(webhook_id) as webhook_id from mpackd_deliveries where status = 'pending'
      union all
      select (select min(d.webhook_id) from mpackd_deliveries d
        where d.status = 'pending' and d.webhook_id > waiting.webhook_id)
      from waiting where waiting.webhook_id is not null
    ), hooks as materialized (
      select w.webhook_id, w.host, w.disabled_at is not null as is_disabled, coalesce(
        (select owner from musehub_repos r where r.repo_id = w.repo_id), w.repo_id) as owner,
        (select count(*) from mpackd_deliveries d
          where d.webhook_id = w.webhook_id and d.leased_until > now()) as running
      from waiting join mpackd_webhooks w on w.webhook_id = waiting.webhook_id
    ), heads as materialized (
      select d.*, hooks.host, hooks.owner from hooks cross join lateral (
        select delivery_id, run_at from mpackd_deliveries d
        where d.webhook_id = hooks.webhook_id and d.status = 'pending' and d.run_at <= now()
          and (d.is_asked or not hooks.is_disabled)
        order by d.run_at, d.delivery_id limit ${PER_HOST}::bigint
      ) as d
    ), turns as materialized (
      select delivery_id, run_at,
        row_number() over (partition by host order by run_at, delivery_id)
          + (select coalesce(sum(running), 0) from hooks h where h.host = heads.host) as of_host,
        row_number() over (partition by owner order by run_at, delivery_id)
          + (select coalesce(sum(running), 0) from hooks h where h.owner = heads.owner) as of_owner
      from heads
    ), taken as materialized (
      select d.delivery_id from mpackd_deliveries d
      join turns on turns.delivery_id = d.delivery_id
      where turns.of_host <= ${PER_HOST}::bigint and turns.of_owner <= ${PER_OWNER}::bigint
        and d.status = 'pending' and d.run_at <= now()
      order by turns.of_owner, turns.run_at, d.delivery_id
      limit ${limit}::bigint
      for update of d skip locked
    )
    update mpackd_deliveries d set attempts = d.attempts + 1,
      leased_until = now() + ${leaseMs}::float8 * interval '1 ms',
      run_at = now() + ${leaseMs}::float8 * interval '1 ms'
    from taken, mpackd_webhooks w
    where d.delivery_id = taken.delivery_id and w.webhook_id = d.webhook_id
    returning d.delivery_id as "deliveryId", d.webhook_id as "webhookId", d.payload, w.url,
      d.attempts as attempt, w.secret,
      case when w.old_secret_until > now() then w.old_secret end as old_secret`;
  return rows.map(({ secret, old_secret, ...delivery }) => ({
    ...delivery,
    secrets: old_secret === null ? [secret] : [secret, old_secret],
  }));
}

/** Ends a delivery that was taken. A webhook that was disabled is enabled again. */
export async function finishDelivery(
  db: Database,
  delivery: Pick<ClaimedDelivery, "deliveryId" | "attempt">,
  attempt: DeliveryAttempt,
): Promise<void> {
  await db.query("record a delivery")`
    with ended as (
      update mpackd_deliveries d set status = 'delivered', ended_at = now(), leased_until = null,
        log = ${appended(db, delivery, attempt)}
      where ${isOurs(db, delivery)}
      returning webhook_id
    )
    update mpackd_webhooks w set failing_since = null, disabled_at = null, note = null
    from ended
    where w.webhook_id = ended.webhook_id and (w.failing_since is not null or w.disabled_at is not null)`;
}

/** What follows from a failed attempt. */
export interface DeliveryFailure {
  /** Milliseconds until the next attempt; null: this was the last one. */
  readonly delayMs: number | null;
  /** Why to disable the webhook at once, if so. */
  readonly disableFor?: string;
}

/**
 * Records a failed attempt. With its last attempt a delivery is dead; its webhook is disabled with it
 * if nothing was delivered since the first.
 *
 * @returns Whether the webhook is disabled now.
 */
export async function failDelivery(
  db: Database,
  delivery: Pick<ClaimedDelivery, "deliveryId" | "attempt">,
  attempt: DeliveryAttempt,
  { delayMs, disableFor }: DeliveryFailure,
): Promise<boolean> {
  const rows = await db.query<{ disabled: boolean }>("record a failed delivery")`
    with failed as (
      update mpackd_deliveries d set
        status = case when ${delayMs}::float8 is null then 'dead' else 'pending' end,
        ended_at = case when ${delayMs}::float8 is null then now() end,
        run_at = now() + coalesce(${delayMs}::float8, 0) * interval '1 ms',
        leased_until = null, log = ${appended(db, delivery, attempt)}
      where ${isOurs(db, delivery)}
      returning webhook_id, status, (log->0->>'at')::timestamptz as first_at
    )
    update mpackd_webhooks w set failing_since = coalesce(w.failing_since, now()),
      disabled_at = coalesce(w.disabled_at, case when ${disableFor ?? null}::text is not null
        or failed.status = 'dead' and w.failing_since <= failed.first_at then now() end),
      note = coalesce(w.note, ${disableFor ?? null}::text,
        case when failed.status = 'dead' and w.failing_since <= failed.first_at
          then 'no delivery has succeeded since ' || to_char(w.failing_since at time zone 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS"Z"') end)
    from failed where w.webhook_id = failed.webhook_id
    returning w.disabled_at is not null as disabled`;
  return rows.some(({ disabled }) => disabled);
}

/** Puts a delivery back as if it had not been claimed: the worker stops. */
export async function releaseDelivery(
  db: Database,
  delivery: Pick<ClaimedDelivery, "deliveryId" | "attempt">,
): Promise<void> {
  await db.query("release a delivery")`
    update mpackd_deliveries d set attempts = attempts - 1, run_at = now(), leased_until = null
    where ${isOurs(db, delivery)}`;
}

/** Ends what disabled webhooks were still to be told, and deletes deliveries that ended long ago. */
export async function purgeDeliveries(
  db: Database,
  { olderThanMs }: { readonly olderThanMs: number },
): Promise<void> {
  for (let rows = ROWS_PER_STATEMENT; rows === ROWS_PER_STATEMENT;) {
    const ended = await db.query("end the deliveries of disabled webhooks")`
      with lost as materialized (
        select d.delivery_id from mpackd_webhooks w cross join lateral (
          select delivery_id from mpackd_deliveries d
          where d.webhook_id = w.webhook_id and d.status = 'pending' and not d.is_asked
            and (d.leased_until is null or d.leased_until <= now())
          limit ${ROWS_PER_STATEMENT}::bigint
        ) as d
        where w.disabled_at is not null
        order by d.delivery_id limit ${ROWS_PER_STATEMENT}::bigint
      )
      update mpackd_deliveries d set status = 'dead', ended_at = now(), leased_until = null
      from lost where d.delivery_id = lost.delivery_id and d.status = 'pending' returning 1`;
    rows = ended.length;
  }
  for (let rows = ROWS_PER_STATEMENT; rows === ROWS_PER_STATEMENT;) {
    const purged = await db.query("purge deliveries")`
      with old as materialized (
        select delivery_id from mpackd_deliveries
        where ended_at < now() - ${olderThanMs}::float8 * interval '1 ms'
        order by ended_at limit ${ROWS_PER_STATEMENT}::bigint for update skip locked
      )
      delete from mpackd_deliveries d using old where d.delivery_id = old.delivery_id returning 1`;
    rows = purged.length;
  }
  await removeOrphans(db);
}

/** Deletes what was written for a webhook while it was removed. */
async function removeOrphans(db: Database): Promise<void> {
  await db.query("remove deliveries without a webhook")`
    delete from mpackd_deliveries d
    where d.status = 'pending' and not exists (
      select from mpackd_webhooks w where w.webhook_id = d.webhook_id)`;
}

/** Which deliveries to list. */
export interface ListDeliveries {
  readonly repoId: string;
  readonly webhookId: string;
  /** Most rows, 1 or more. */
  readonly limit: number;
  /** Only those older than this one. */
  readonly before?: string;
}

/** Lists the deliveries of a webhook, newest first. */
export function listDeliveries(
  db: Database,
  { repoId, webhookId, limit, before }: ListDeliveries,
): Promise<Delivery[]> {
  const isOlder = before === undefined ? db.sql`true` : db.sql`(d.created_at, d.delivery_id) < (
    select b.created_at, b.delivery_id from mpackd_deliveries b where b.delivery_id = ${before})`;
  return db.query<Delivery>("list deliveries")`
    select d.delivery_id as "deliveryId", d.webhook_id as "webhookId", d.event, d.status,
      d.attempts, d.created_at as "createdAt", d.run_at as "runAt", d.ended_at as "endedAt", d.log
    from mpackd_webhooks w join mpackd_deliveries d on d.webhook_id = w.webhook_id
    where w.repo_id = ${repoId} and w.webhook_id = ${webhookId} and ${isOlder}
    order by d.created_at desc, d.delivery_id desc limit ${limit}::bigint`;
}

/** Finds a delivery of a repo's webhook. */
export async function findDelivery(
  db: Database,
  repoId: string,
  deliveryId: string,
): Promise<Pick<Delivery, "deliveryId" | "webhookId" | "event" | "status"> | undefined> {
  const [row] = await db.query<Pick<Delivery, "deliveryId" | "webhookId" | "event" | "status">>(
    "find a delivery",
  )`
    select d.delivery_id as "deliveryId", d.webhook_id as "webhookId", d.event, d.status
    from mpackd_webhooks w join mpackd_deliveries d on d.webhook_id = w.webhook_id
    where w.repo_id = ${repoId} and d.delivery_id = ${deliveryId}`;
  return row;
}

/**
 * Sends a delivery once more, under the id that it has. One that is being sent, or waits, is sent now.
 *
 * @returns Whether there is such a delivery.
 */
export async function resendDelivery(
  db: Database,
  repoId: string,
  deliveryId: string,
): Promise<boolean> {
  const rows = await db.query("resend a delivery")`
    with again as (
      update mpackd_deliveries d set status = 'pending', ended_at = null, is_asked = true,
        -- Its attempts begin anew, but their number fences one that is on its way.
        run_at = case when d.leased_until > now() then d.run_at else now() end,
        attempts = case when d.leased_until > now() then d.attempts else 0 end
      from mpackd_webhooks w
      where d.delivery_id = ${deliveryId} and w.webhook_id = d.webhook_id
        and w.repo_id = ${repoId}
      returning d.delivery_id
    )
    select mpackd_notify_1('webhooks') from again`;
  return rows.length > 0;
}

/**
 * Sends an event `webhook.test`, also to a webhook that is disabled.
 *
 * @returns The id of the delivery; undefined if there is no such webhook.
 */
export async function testWebhook(
  db: Database,
  repoId: string,
  webhookId: string,
): Promise<string | undefined> {
  const [row] = await db.query<{ id: string }>("test a webhook")`
    with made as (
      insert into mpackd_deliveries (webhook_id, event, payload, is_asked)
      select w.webhook_id, 'webhook.test', jsonb_build_object('type', 'webhook.test',
        'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'data', jsonb_build_object('repo_id', w.repo_id, 'webhook_id', w.webhook_id))::text, true
      from mpackd_webhooks w where w.repo_id = ${repoId} and w.webhook_id = ${webhookId}
      returning delivery_id
    )
    select delivery_id as id, mpackd_notify_1('webhooks') from made`;
  return row?.id;
}

function isOurs({ sql }: Database, { deliveryId, attempt }: {
  readonly deliveryId: string;
  readonly attempt: number;
}) {
  return sql`d.delivery_id = ${deliveryId} and d.attempts = ${attempt}::integer
    and d.status = 'pending' and d.leased_until is not null`;
}

/** The log with one more entry, without the oldest if there are many. */
function appended(
  { sql }: Database,
  { attempt: number }: { readonly attempt: number },
  attempt: DeliveryAttempt,
) {
  const entry = JSON.stringify({ attempt: number, ...attempt });
  return sql`case when jsonb_array_length(d.log) >= ${MAX_LOG}::integer then d.log - 0 else d.log end
    || (${entry}::text::jsonb || jsonb_build_object('at', now()))`;
}
