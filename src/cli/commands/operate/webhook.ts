/**
 * `mpackd webhook …`: URLs that are told what happens in a repo.
 *
 * @module
 */

import type { Command } from "commander";
import type { Database } from "../../../db/client/database.ts";
import {
  type Delivery,
  findDelivery,
  listDeliveries,
  resendDelivery,
  testWebhook,
} from "../../../db/webhooks/deliveries.ts";
import {
  addWebhook,
  listWebhooks,
  removeWebhook,
  rotateSecret,
  type Webhook,
  WEBHOOK_EVENTS,
} from "../../../db/webhooks/webhooks.ts";
import { ConfigError } from "../../../errors.ts";
import { hostOf, parseReceiver } from "../../../jobs/webhooks/receiver.ts";
import { parseAddresses } from "../../../lib/addresses.ts";
import type { CommandContext } from "../../command.ts";
import { parseCount } from "../../flags.ts";
import { print, printJson } from "../../output.ts";
import { counted } from "../../terminal.ts";
import { openRepo } from "../../shards/open_repo.ts";
import { openDatabase } from "../../resources.ts";

interface WebhookFlags {
  readonly repo: string;
  readonly event?: readonly string[];
  readonly limit?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** What a subcommand prints. */
interface Answer {
  readonly json: unknown;
  readonly text: string;
}

/** What a subcommand works on. */
interface Place {
  readonly db: Database;
  readonly repoId: string;
}

/** Adds the commands. */
export function addWebhookCommand(program: Command, context: CommandContext): void {
  const webhook = program.command("webhook")
    .summary("tell URLs what is published, what failed, and how branches move")
    .description(
      "Tell URLs what is published, what failed, and how branches move. Workers deliver, at least " +
        "once and signed as Standard Webhooks; docs/webhooks.md says how to receive.",
    );
  const run = (flags: WebhookFlags, work: (place: Place) => Promise<Answer>) =>
    context.run(flags, async () => {
      await using opened = await openDatabase(context.config(), { maxConnections: 1 });
      const { json, text } = await work(await openRepo(opened, flags.repo));
      if (flags.json) await printJson(json);
      else await print(text);
    });
  const subcommand = (name: string, description: string) =>
    webhook.command(name).description(description)
      .requiredOption("--repo <owner/slug>", "the repo")
      .option("--json", "print one JSON document");

  subcommand("add", "Add a webhook; its secret is printed this once.")
    .argument("<url>", "https: and a host of the public internet, or see MPACK_WEBHOOK_ALLOW")
    .option("--event <names...>", `any of ${WEBHOOK_EVENTS.join(", ")} (default: all)`)
    .option("--dry-run", "only say what would be added")
    .action((url: string, flags: WebhookFlags) =>
      run(flags, async (place) => {
        const events = eventsOf(flags.event);
        const allowed = parseAddresses(context.config().webhookAllow);
        const { href, host } = withHost(parseReceiver(url, { allowed }));
        if (flags.dryRun) {
          return {
            json: { would_add: { url: href, events } },
            text: `Would add: ${href}  ${events.join(",")}`,
          };
        }
        const { webhookId, secret } = await addWebhook(place.db, {
          ...{ repoId: place.repoId, url: href, host, events },
        });
        return {
          json: { webhook_id: webhookId, secret, events },
          text: `Added: ${webhookId}\nIts secret, which is not shown again: ${secret}`,
        };
      })
    );
  subcommand("list", "List the webhooks of a repo.")
    .action((flags: WebhookFlags) =>
      run(flags, async ({ db, repoId }) => {
        const webhooks = await listWebhooks(db, repoId);
        return {
          json: { webhooks: webhooks.map(jsonOf) },
          text: webhooks.length === 0 ? "No webhooks" : webhooks.map(lineOf).join("\n"),
        };
      })
    );
  subcommand("remove", "Remove a webhook with its deliveries.")
    .argument("<id>", "the webhook's id, as webhook list shows it")
    .option("--dry-run", "only say what would be removed")
    .action((id: string, flags: WebhookFlags) =>
      run(flags, async ({ db, repoId }) => {
        if (flags.dryRun) {
          const found = await findWebhook(db, repoId, id);
          return {
            json: { would_remove: jsonOf(found) },
            text: `Would remove, with its deliveries: ${lineOf(found)}`,
          };
        }
        if (!await removeWebhook(db, repoId, id)) throw noSuch("webhook", id);
        return { json: { webhook_id: id, removed: true }, text: `Removed: ${id}` };
      })
    );
  subcommand("rotate", "Give a webhook a new secret. The old one signs beside it for a day.")
    .argument("<id>", "the webhook's id")
    .option("--dry-run", "only say which webhook would get one")
    .action((id: string, flags: WebhookFlags) =>
      run(flags, async ({ db, repoId }) => {
        if (flags.dryRun) {
          const found = await findWebhook(db, repoId, id);
          return {
            json: { would_rotate: jsonOf(found) },
            text: `Would give a new secret to: ${lineOf(found)}`,
          };
        }
        const secret = await rotateSecret(db, repoId, id);
        if (secret === undefined) throw noSuch("webhook", id);
        return { json: { webhook_id: id, secret }, text: secret };
      })
    );
  subcommand("test", "Send a webhook.test. One that was disabled is enabled if it is taken.")
    .argument("<id>", "the webhook's id")
    .option("--dry-run", "only say where it would be sent")
    .action((id: string, flags: WebhookFlags) =>
      run(flags, async ({ db, repoId }) => {
        if (flags.dryRun) {
          const found = await findWebhook(db, repoId, id);
          return {
            json: { would_test: jsonOf(found) },
            text: `Would send a webhook.test to: ${lineOf(found)}`,
          };
        }
        const deliveryId = await testWebhook(db, repoId, id);
        if (deliveryId === undefined) throw noSuch("webhook", id);
        return { json: { delivery_id: deliveryId }, text: `A worker will send ${deliveryId}` };
      })
    );
  subcommand("deliveries", "List what a webhook was told, newest first, and what became of it.")
    .argument("<id>", "the webhook's id")
    .option("--limit <count>", "the most to list", "20")
    .action((webhookId: string, flags: WebhookFlags) =>
      run(flags, async ({ db, repoId }) => {
        const limit = parseCount("--limit", flags.limit!, { min: 1, max: 1_000 });
        const rows = await listDeliveries(db, { repoId, webhookId, limit });
        return {
          json: { deliveries: rows.map(deliveryJson) },
          text: rows.length === 0 ? "No deliveries" : rows.map(deliveryLine).join("\n"),
        };
      })
    );
  subcommand("resend", "Send a delivery once more, under the same id.")
    .argument("<id>", "the delivery's id, as webhook deliveries shows it")
    .option("--dry-run", "only say what would be sent")
    .action((id: string, flags: WebhookFlags) =>
      run(flags, async ({ db, repoId }) => {
        if (flags.dryRun) {
          const found = await findDelivery(db, repoId, id);
          if (found === undefined) throw noSuch("delivery", id);
          const { webhookId: webhook_id, event, status } = found;
          return {
            json: { would_resend: { delivery_id: id, webhook_id, event, status } },
            text: `Would send ${id} once more: ${event}, which is ${status}, to ${webhook_id}`,
          };
        }
        if (!await resendDelivery(db, repoId, id)) throw noSuch("delivery", id);
        return { json: { delivery_id: id }, text: `A worker will send ${id}` };
      })
    );
}

/** @throws {ConfigError} If the repo has no such webhook. */
async function findWebhook(db: Database, repoId: string, id: string): Promise<Webhook> {
  const found = (await listWebhooks(db, repoId)).find((known) => known.webhookId === id);
  if (found === undefined) throw noSuch("webhook", id);
  return found;
}

function withHost(url: URL): { href: string; host: string } {
  return { href: url.href, host: hostOf(url) };
}

function eventsOf(names: readonly string[] = WEBHOOK_EVENTS): string[] {
  const unknown = names.find((name) => !(WEBHOOK_EVENTS as readonly string[]).includes(name));
  if (unknown === undefined) return [...new Set(names)];
  throw new ConfigError(
    `Cannot use --event ${unknown}: it is not one of ${WEBHOOK_EVENTS.join(", ")}`,
  );
}

function jsonOf(webhook: Webhook) {
  return {
    webhook_id: webhook.webhookId,
    url: webhook.url,
    events: webhook.events,
    created_at: webhook.createdAt.toISOString(),
    failing_since: webhook.failingSince?.toISOString() ?? null,
    disabled_at: webhook.disabledAt?.toISOString() ?? null,
    note: webhook.note,
  };
}

function lineOf({ webhookId, url, events, failingSince, disabledAt, note }: Webhook): string {
  const state = disabledAt !== null
    ? `disabled: ${note}`
    : failingSince !== null
    ? `failing since ${failingSince.toISOString()}`
    : "ok";
  return `${webhookId}  ${url}  ${events.join(",")}  ${state}`;
}

function deliveryJson(delivery: Delivery) {
  return {
    delivery_id: delivery.deliveryId,
    event: delivery.event,
    status: delivery.status,
    attempts: delivery.attempts,
    created_at: delivery.createdAt.toISOString(),
    run_at: delivery.status === "pending" ? delivery.runAt.toISOString() : null,
    ended_at: delivery.endedAt?.toISOString() ?? null,
    log: delivery.log,
  };
}

function deliveryLine({ deliveryId, event, status, attempts, createdAt, log }: Delivery): string {
  const last = log.at(-1);
  const how = last === undefined
    ? ""
    : `  ${last.error ?? `answered ${last.status}`} in ${last.duration_ms} ms`;
  return `${deliveryId}  ${createdAt.toISOString()}  ${event}  ${status}  ` +
    `${counted(attempts, "attempt")}${how}`;
}

function noSuch(what: "webhook" | "delivery", id: string): ConfigError {
  const lists = what === "webhook" ? "webhook list" : "webhook deliveries";
  return new ConfigError(
    `Cannot find the ${what} ${id}: the repo has none of that id ("mpackd ${lists}" lists them)`,
  );
}
