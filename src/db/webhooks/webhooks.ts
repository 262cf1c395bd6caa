/**
 * Webhooks: the URLs that are told what happens in a repo.
 *
 * The outbox is written by triggers: see webhooks_1.sql.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { arrayLiteral } from "../client/array_literal.ts";
import type { Database } from "../client/database.ts";

/** What a webhook can be told. */
export const WEBHOOK_EVENTS = ["pack.published", "pack.failed", "branch.moved"] as const;

/** Most webhooks of a repo. */
const MAX_WEBHOOKS = 10;
const SECRET_BYTES = 32;
/** Receivers have so long to learn the new secret after a rotation. */
const OLD_SECRET_HOURS = 24;

/** A webhook without its secrets. */
export interface Webhook {
  readonly webhookId: string;
  readonly repoId: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly createdAt: Date;
  /** Since when no delivery has succeeded; null after one has, and before the first. */
  readonly failingSince: Date | null;
  /** When it was disabled; null while it is not. */
  readonly disabledAt: Date | null;
  /** Why it is disabled. */
  readonly note: string | null;
}

/** A new webhook. */
export interface NewWebhook extends Pick<Webhook, "repoId" | "url" | "events"> {
  /** The host of the URL. */
  readonly host: string;
}

type WebhookColumns = Omit<Webhook, "events"> & { readonly event_list: string };

/**
 * Adds a webhook.
 *
 * @returns Its id, and its secret, which is not shown again.
 * @throws {ConfigError} If the repo has ten.
 */
export async function addWebhook(
  db: Database,
  { repoId, url, host, events }: NewWebhook,
): Promise<{ readonly webhookId: string; readonly secret: string }> {
  const webhookId = `wh_${crypto.randomUUID().replaceAll("-", "")}`, secret = newSecret();
  const rows = await db.query("add a webhook")`
    insert into mpackd_webhooks (webhook_id, repo_id, url, host, events, secret)
    select ${webhookId}, ${repoId}, ${url}, ${host}, ${arrayLiteral(events)}::text[], ${secret}
    where (select count(*) from mpackd_webhooks where repo_id = ${repoId}) < ${MAX_WEBHOOKS}::bigint
    returning 1`;
  if (rows.length > 0) return { webhookId, secret };
  throw new ConfigError(
    `Cannot add a webhook: the repo has ${MAX_WEBHOOKS}, which is the most; remove one`,
  );
}

/** Lists a repo's webhooks, oldest first. */
export async function listWebhooks(db: Database, repoId: string): Promise<Webhook[]> {
  const rows = await db.query<WebhookColumns>("list webhooks")`
    select webhook_id as "webhookId", repo_id as "repoId", url,
      array_to_string(events, ',') as event_list, created_at as "createdAt",
      failing_since as "failingSince", disabled_at as "disabledAt", note
    from mpackd_webhooks where repo_id = ${repoId} order by created_at, webhook_id`;
  return rows.map(({ event_list, ...webhook }) => ({ ...webhook, events: event_list.split(",") }));
}

/** Removes a webhook with its deliveries; returns whether there was one. */
export async function removeWebhook(db: Database, repoId: string, id: string): Promise<boolean> {
  const rows = await db.query("remove a webhook")`
    with removed as (
      delete from mpackd_webhooks where repo_id = ${repoId} and webhook_id = ${id}
      returning webhook_id
    ), deliveries as (
      delete from mpackd_deliveries d using removed where d.webhook_id = removed.webhook_id
    )
    select webhook_id from removed`;
  return rows.length > 0;
}

/**
 * Gives a webhook a new secret. The old one signs, too, for a day.
 *
 * @returns The secret; undefined if there is no such webhook.
 */
export async function rotateSecret(
  db: Database,
  repoId: string,
  id: string,
): Promise<string | undefined> {
  const secret = newSecret();
  const rows = await db.query("rotate the secret of a webhook")`
    update mpackd_webhooks set old_secret = secret, secret = ${secret},
      old_secret_until = now() + ${OLD_SECRET_HOURS}::float8 * interval '1 hour'
    where repo_id = ${repoId} and webhook_id = ${id} returning 1`;
  return rows.length > 0 ? secret : undefined;
}

/**
 * Deletes the webhooks of a repo that is deleted, with their deliveries.
 */
export async function removeWebhooksOf(db: Database, repoId: string): Promise<void> {
  await db.query("remove the webhooks of a deleted repo")`
    with removed as (
      delete from mpackd_webhooks w where w.repo_id = ${repoId} and exists (
        select from musehub_repos r where r.repo_id = ${repoId} and r.deleted_at is not null)
      returning webhook_id
    )
    delete from mpackd_deliveries d using removed where d.webhook_id = removed.webhook_id`;
}

/** As Standard Webhooks spells a symmetric secret. */
function newSecret(): string {
  return `whsec_${crypto.getRandomValues(new Uint8Array(SECRET_BYTES)).toBase64()}`;
}
