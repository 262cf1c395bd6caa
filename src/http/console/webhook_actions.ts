/**
 * What the console does with webhooks. What cannot be undone asks first.
 *
 * @module
 */

import type { Repo } from "../../db/repos.ts";
import { resendDelivery, testWebhook } from "../../db/webhooks/deliveries.ts";
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
import { type Acting, repoOfForm } from "./actions.ts";
import type { Page } from "./page.ts";
import { confirmWebhook, newWebhookPage, secretPage } from "./pages/webhook_forms.tsx";

/**
 * Does what a form of the webhooks' page asks for.
 *
 * @returns The place to go to, or a page: one that asks first, or shows a secret this once.
 * @throws {HttpProblem} 403 or 404.
 */
export async function actOnWebhook(
  form: URLSearchParams,
  acting: Acting,
): Promise<string | Page> {
  const repo = await repoOfForm(form, acting), place = await acting.context.at(repo.home);
  const { db } = place;
  requireOwner(repo, acting.caller);
  const { repoId } = repo, action = form.get("action") ?? "", id = form.get("id") ?? "";
  const name = `${repo.owner}/${repo.slug}`;
  const done = `/repos/${name}/webhooks?${new URLSearchParams({ done: action })}`;
  acting.wrote.add(place);
  switch (action) {
    case "test":
      if (await testWebhook(db, repoId, id) === undefined) throw noSuch();
      return done;
    case "resend":
      if (!await resendDelivery(db, repoId, id)) throw noSuch();
      return done;
    case "add":
      return await add(form, repo, acting);
    case "remove":
    case "rotate": {
      const webhook = await find(repo, id, acting);
      if (form.get("sure") !== "yes") return confirmWebhook(name, action, webhook);
      if (action === "rotate") {
        const secret = await rotateSecret(db, repoId, id);
        if (secret === undefined) throw noSuch();
        return secretPage(name, { action: "rotated", url: webhook.url, secret });
      }
      if (!await removeWebhook(db, repoId, id)) throw noSuch();
      return done;
    }
  }
  throw noSuch();
}

async function find(
  { repoId, home }: Repo,
  id: string,
  { context }: Acting,
): Promise<Webhook> {
  const { db } = await context.at(home);
  const found = (await listWebhooks(db, repoId)).find(({ webhookId }) => webhookId === id);
  if (found === undefined) throw noSuch();
  return found;
}

/** Adds a webhook; what is wrong with the form is said on it. */
async function add(
  form: URLSearchParams,
  { repoId, owner, slug, home }: Repo,
  { context }: Acting,
): Promise<Page> {
  const { db, config } = await context.at(home);
  const name = `${owner}/${slug}`, given = form.get("url")?.trim() ?? "";
  const events = WEBHOOK_EVENTS.filter((event) => form.getAll("event").includes(event));
  const again = (problem: string) => newWebhookPage(name, { url: given, events, problem });
  if (events.length === 0) return again("Cannot add a webhook: choose what it is told");
  try {
    const url = parseReceiver(given, { allowed: parseAddresses(config.webhookAllow) });
    const host = hostOf(url);
    const { secret } = await addWebhook(db, { repoId, url: url.href, host, events });
    return secretPage(name, { action: "added", url: url.href, secret });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return again(error.message);
  }
}

function noSuch(): HttpProblem {
  return new HttpProblem(404, "not-found", "Cannot find such a webhook or delivery");
}
