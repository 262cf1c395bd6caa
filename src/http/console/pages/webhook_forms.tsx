/** @jsxImportSource hono/jsx */
import { type Webhook, WEBHOOK_EVENTS } from "../../../db/webhooks/webhooks.ts";
import { mayManage } from "../../auth/access.ts";
import { HttpProblem } from "../../problem.ts";
import type { Page, PageMaker } from "../page.ts";
import { repoOf } from "./repo.tsx";

/** Asks what a new webhook is to be told. Not a live page: it would take away what was typed. */
export const newWebhook: PageMaker = async (call) => {
  const repo = await repoOf(call), { caller } = call;
  const mayAct = caller.scopes.has("push") || caller.isAdmin;
  if (!mayAct || !mayManage(repo, caller)) {
    throw new HttpProblem(404, "not-found", "Cannot find such a page");
  }
  return newWebhookPage(`${repo.owner}/${repo.slug}`, { url: "", events: WEBHOOK_EVENTS });
};

/** The form for a new webhook, with what was typed and what is wrong with it. */
export function newWebhookPage(
  name: string,
  { url, events, problem }: {
    readonly url: string;
    readonly events: readonly string[];
    readonly problem?: string;
  },
): Page {
  return {
    title: `New webhook of ${name}`,
    ...(problem !== undefined && { status: 422 }),
    body: (
      <>
        <h1>
          New webhook of <a href={`/ui/repos/${name}`}>{name}</a>
        </h1>
        {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
        <form method="post" action="/ui/webhooks">
          <input type="hidden" name="repo" value={name} />
          <p>
            <label for="url">URL</label>
            <br />
            <input
              id="url"
              name="url"
              class="wide"
              type="url"
              value={url}
              maxlength={2000}
              autocomplete="off"
              required
              autofocus
            />
          </p>
          <p class="soft">https: and a host of the public internet, or see MPACK_WEBHOOK_ALLOW.</p>
          <fieldset>
            <legend>It is told of</legend>
            {WEBHOOK_EVENTS.map((event) => (
              <label class="choice">
                <input
                  type="checkbox"
                  name="event"
                  value={event}
                  {...(events.includes(event) ? { checked: true } : {})}
                />{" "}
                {event}
              </label>
            ))}
          </fieldset>
          <div class="actions">
            <button type="submit" name="action" value="add">Add it</button>
            <a href={`/ui/repos/${name}/webhooks`}>No, back to the webhooks</a>
          </div>
        </form>
      </>
    ),
  };
}

const WHAT = {
  remove: "It is told nothing any more, and the log of its deliveries is deleted with it.",
  rotate: "It gets a new secret, which is shown once. The old one signs beside it for a day.",
} as const;

/** Asks whether to do it. */
export function confirmWebhook(
  name: string,
  action: keyof typeof WHAT,
  { webhookId, url }: Webhook,
): Page {
  const title = action === "remove" ? "Remove this webhook?" : "Rotate the secret of this webhook?";
  return {
    title,
    body: (
      <>
        <h1>{title}</h1>
        <form method="post" action="/ui/webhooks">
          <p>{WHAT[action]}</p>
          <ul>
            <li>
              <code>{webhookId}</code>, {url}
            </li>
          </ul>
          <input type="hidden" name="repo" value={name} />
          <input type="hidden" name="id" value={webhookId} />
          <input type="hidden" name="sure" value="yes" />
          <div class="actions">
            <button
              type="submit"
              name="action"
              value={action}
              class={action === "remove" ? "bad" : ""}
            >
              {`Yes, ${action}`}
            </button>
            <a href={`/ui/repos/${name}/webhooks`}>No, back to the webhooks</a>
          </div>
        </form>
      </>
    ),
  };
}

/** Shows the secret of a webhook. No other page does. */
export function secretPage(
  name: string,
  { action, url, secret }: {
    readonly action: "added" | "rotated";
    readonly url: string;
    readonly secret: string;
  },
): Page {
  const title = action === "added" ? "The webhook is added" : "The secret is rotated";
  return {
    title,
    body: (
      <>
        <h1>{title}</h1>
        <p class="note" role="status">
          Copy its secret now: it is not shown again. The receiver at {url} verifies with it.
        </p>
        <pre tabindex={0}>{secret}</pre>
        <p>
          <a href={`/ui/repos/${name}/webhooks`}>To the webhooks</a>
        </p>
      </>
    ),
  };
}
