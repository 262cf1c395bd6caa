/**
 * Routes for the webhooks of a repo: for its owner, and for admins.
 *
 * @module
 */

import { z } from "zod";
import {
  type Delivery,
  listDeliveries,
  resendDelivery,
  testWebhook,
} from "../../db/webhooks/deliveries.ts";
import {
  addWebhook,
  listWebhooks,
  removeWebhook,
  rotateSecret,
  type Webhook,
  WEBHOOK_EVENTS,
} from "../../db/webhooks/webhooks.ts";
import { ConfigError } from "../../errors.ts";
import { hostOf, parseReceiver } from "../../jobs/webhooks/receiver.ts";
import { parseAddresses } from "../../lib/addresses.ts";
import { requireOwner } from "../auth/access.ts";
import { HttpProblem } from "../problem.ts";
import { camelKeys, reply } from "../reply.ts";
import { type Route, route, tagged } from "../route.ts";
import { line, NoQuery, RepoIdPath } from "../schemas.ts";

const Id = z.string().regex(/^[A-Za-z0-9_]{1,100}$/, "not an id");
const WebhookPath = RepoIdPath.extend({ webhookId: Id });
const DeliveryPath = WebhookPath.extend({ deliveryId: Id });
const Time = z.string().meta({ format: "date-time" });

const NewWebhookBody = z.strictObject({
  url: line(2_000).min(1).meta({ description: "https: and a host of the public internet" }),
  events: z.array(z.enum(WEBHOOK_EVENTS)).min(1).max(WEBHOOK_EVENTS.length)
    .default([...WEBHOOK_EVENTS]).meta({ description: "Default: all of them" }),
});

const Secret = z.string().meta({ description: "`whsec_…`: shown this once" });
const MadeAnswer = z.object({ webhookId: z.string(), secret: Secret });
const SecretAnswer = z.object({ secret: Secret });

const WebhooksAnswer = z.object({
  webhooks: z.array(z.object({
    webhookId: z.string(),
    url: z.string(),
    events: z.array(z.string()),
    createdAt: Time,
    failingSince: Time.nullable().meta({ description: "No delivery has succeeded since" }),
    disabledAt: Time.nullable(),
    note: z.string().nullable().meta({ description: "Why it is disabled" }),
  })),
});

const DeliveriesQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  before: Id.optional().meta({ description: "`next` of the page before" }),
});

const DeliveriesAnswer = z.object({
  deliveries: z.array(z.object({
    deliveryId: z.string(),
    event: z.string(),
    status: z.enum(["pending", "delivered", "dead"]),
    attempts: z.int(),
    createdAt: Time,
    runAt: Time.nullable().meta({ description: "When it is tried next" }),
    endedAt: Time.nullable(),
    log: z.array(z.object({
      attempt: z.int(),
      at: z.string(),
      status: z.int().nullable(),
      durationMs: z.int(),
      answer: z.string().nullable().meta({ description: "The first bytes of it" }),
      error: z.string().nullable(),
    })),
  })),
  next: z.string().nullable(),
});

const DeliveryAnswer = z.object({ deliveryId: z.string() });

const common = { access: "push", query: NoQuery, problems: [403, 404] } as const;

const list = route({
  ...common,
  method: "GET",
  path: "/api/repos/{repoId}/webhooks",
  id: "listWebhooks",
  summary: "List the webhooks of your repo.",
  params: RepoIdPath,
  answers: { 200: { description: "The webhooks", schema: WebhooksAnswer } },
  async handle({ request, repo, caller, context }) {
    requireOwner(repo, caller);
    const webhooks = await listWebhooks(context.db, repo.repoId);
    return reply(request, 200, { webhooks: webhooks.map(shownWebhook) });
  },
});

const add = route({
  ...common,
  method: "POST",
  path: "/api/repos/{repoId}/webhooks",
  id: "addWebhook",
  summary: "Let a URL be told what happens in your repo; the secret is shown once.",
  params: RepoIdPath,
  body: NewWebhookBody,
  answers: { 201: { description: "The webhook was added", schema: MadeAnswer } },
  problems: [403, 404, 409],
  async handle({ request, body, repo, caller, context }) {
    requireOwner(repo, caller);
    const allowed = parseAddresses(context.config.webhookAllow);
    const url = await orProblem(422, "invalid-body", () => parseReceiver(body.url, { allowed }));
    const events = [...new Set(body.events)], { repoId } = repo;
    const made = await orProblem(
      409,
      "conflict",
      () => addWebhook(context.db, { repoId, url: url.href, host: hostOf(url), events }),
    );
    return reply(request, 201, made);
  },
});

const remove = route({
  ...common,
  method: "DELETE",
  path: "/api/repos/{repoId}/webhooks/{webhookId}",
  id: "removeWebhook",
  summary: "Remove a webhook with its deliveries.",
  params: WebhookPath,
  answers: { 204: { description: "It is removed" } },
  async handle({ params, repo, caller, context }) {
    requireOwner(repo, caller);
    if (!await removeWebhook(context.db, repo.repoId, params.webhookId)) throw noSuch("webhook");
    return { status: 204, headers: {}, body: null };
  },
});

const rotate = route({
  ...common,
  method: "POST",
  path: "/api/repos/{repoId}/webhooks/{webhookId}/rotate",
  id: "rotateWebhookSecret",
  summary: "Give a webhook a new secret; the old one signs beside it for a day.",
  params: WebhookPath,
  answers: { 200: { description: "The new secret", schema: SecretAnswer } },
  async handle({ request, params, repo, caller, context }) {
    requireOwner(repo, caller);
    const secret = await rotateSecret(context.db, repo.repoId, params.webhookId);
    if (secret === undefined) throw noSuch("webhook");
    return reply(request, 200, { secret });
  },
});

const test = route({
  ...common,
  method: "POST",
  path: "/api/repos/{repoId}/webhooks/{webhookId}/test",
  id: "testWebhook",
  summary: "Send a `webhook.test`; a webhook that was disabled is enabled if it is taken.",
  params: WebhookPath,
  answers: { 202: { description: "It will be sent", schema: DeliveryAnswer } },
  async handle({ request, params, repo, caller, context }) {
    requireOwner(repo, caller);
    const deliveryId = await testWebhook(context.db, repo.repoId, params.webhookId);
    if (deliveryId === undefined) throw noSuch("webhook");
    return reply(request, 202, { deliveryId });
  },
});

const deliveries = route({
  ...common,
  method: "GET",
  path: "/api/repos/{repoId}/webhooks/{webhookId}/deliveries",
  id: "listDeliveries",
  summary: "List what a webhook was told, newest first, and what became of it.",
  params: WebhookPath,
  query: DeliveriesQuery,
  answers: { 200: { description: "The deliveries", schema: DeliveriesAnswer } },
  async handle({ request, params, query, repo, caller, context }) {
    requireOwner(repo, caller);
    const { webhookId } = params;
    const rows = await listDeliveries(context.db, { repoId: repo.repoId, webhookId, ...query });
    const next = rows.length < query.limit ? null : rows[rows.length - 1].deliveryId;
    return reply(request, 200, { deliveries: rows.map(shownDelivery), next });
  },
});

const resend = route({
  ...common,
  method: "POST",
  path: "/api/repos/{repoId}/webhooks/{webhookId}/deliveries/{deliveryId}/resend",
  id: "resendDelivery",
  summary: "Send a delivery once more, under the same id.",
  params: DeliveryPath,
  answers: { 202: { description: "It will be sent", schema: DeliveryAnswer } },
  async handle({ request, params, repo, caller, context }) {
    requireOwner(repo, caller);
    const { deliveryId } = params;
    if (!await resendDelivery(context.db, repo.repoId, deliveryId)) throw noSuch("delivery");
    return reply(request, 202, { deliveryId });
  },
});

export const webhookRoutes: readonly Route[] = tagged("Webhooks", [
  list,
  add,
  remove,
  rotate,
  test,
  deliveries,
  resend,
]);

function shownWebhook({ repoId: _repo, ...webhook }: Webhook) {
  return webhook;
}

function shownDelivery({ webhookId: _webhook, runAt, log, ...delivery }: Delivery) {
  return {
    ...delivery,
    runAt: delivery.status === "pending" ? runAt : null,
    log: log.map((entry) => camelKeys(entry)),
  };
}

/** Turns what is wrong with a request into its problem. */
async function orProblem<T>(
  status: 409 | 422,
  code: "conflict" | "invalid-body",
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new HttpProblem(status, code, error.message);
  }
}

function noSuch(what: string): HttpProblem {
  return new HttpProblem(404, "not-found", `Cannot find such a ${what} of this repo`);
}
