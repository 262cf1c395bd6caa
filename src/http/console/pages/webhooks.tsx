/** @jsxImportSource hono/jsx */
import { type Delivery, listDeliveries } from "../../../db/webhooks/deliveries.ts";
import { listWebhooks, type Webhook } from "../../../db/webhooks/webhooks.ts";
import { mayManage } from "../../auth/access.ts";
import { HttpProblem } from "../../problem.ts";
import type { PageMaker } from "../page.ts";
import { count, Status, Table, Time } from "../parts.tsx";
import { repoOf } from "./repo.tsx";

/** Deliveries on a page. */
const PER_PAGE = 50;

const DONE: Readonly<Record<string, string>> = {
  "test": "A worker will send a test.",
  "resend": "A worker will send it once more.",
  "remove": "The webhook is removed.",
};

/** The webhooks of a repo, and what one of them was told. For its owner and admins. */
export const webhooks: PageMaker = async (call) => {
  const { caller, query } = call;
  const repo = await repoOf(call), place = await call.context.at(repo.home);
  const { db } = await call.reading(place);
  const name = `${repo.owner}/${repo.slug}`;
  if (!mayManage(repo, caller)) throw new HttpProblem(404, "not-found", "Cannot find such a page");
  const { repoId } = repo, all = await listWebhooks(db, repoId);
  const chosen = all.find(({ webhookId }) => webhookId === query.get("webhook")) ?? all[0];
  const before = query.get("before");
  const rows = chosen === undefined ? [] : await listDeliveries(db, {
    ...{ repoId, webhookId: chosen.webhookId, limit: PER_PAGE + 1 },
    ...(before === null ? {} : { before }),
  });
  const deliveries = rows.slice(0, PER_PAGE);
  const here = `/ui/repos/${name}/webhooks`;
  const mayAct = caller.scopes.has("push") || caller.isAdmin;
  return {
    title: `Webhooks of ${name}`,
    isLive: true,
    body: (
      <>
        <h1>
          Webhooks of <a href={`/ui/repos/${name}`}>{name}</a>
        </h1>
        {query.has("done") && <p class="note" role="status">{DONE[query.get("done")!] ?? "Done"}
        </p>}
        {all.length === 0
          ? (
            <p class="soft">
              Nobody is told what happens here.
            </p>
          )
          : (
            <Table label="Webhooks" heads={["Webhook", "URL", "Events", "Added", "State", ""]}>
              {all.map((webhook) => (
                <tr>
                  <td>
                    <a href={`${here}?webhook=${webhook.webhookId}`}>
                      <code>{webhook.webhookId.slice(0, 12)}</code>
                    </a>
                  </td>
                  <td class="long">{webhook.url}</td>
                  <td>{webhook.events.join(", ")}</td>
                  <td>
                    <Time at={webhook.createdAt} />
                  </td>
                  <td>
                    <State webhook={webhook} />
                  </td>
                  <td>
                    {mayAct && (
                      <Actions
                        name={name}
                        id={webhook.webhookId}
                        actions={[["test", "Test"], ["rotate", "Rotate the secret"], [
                          "remove",
                          "Remove",
                        ]]}
                      />
                    )}
                  </td>
                </tr>
              ))}
            </Table>
          )}
        {mayAct && (
          <p>
            <a href={`${here}/new`}>Add a webhook</a>
          </p>
        )}
        {chosen !== undefined && (
          <>
            <h2>
              What <code>{chosen.webhookId.slice(0, 12)}</code> was told, newest first
            </h2>
            {deliveries.length === 0 ? <p class="soft">Nothing yet.</p> : (
              <Table
                label="Deliveries"
                heads={["Event", "When", "Status", "Attempts", "Last answer", ""]}
              >
                {deliveries.map((delivery) => (
                  <tr>
                    <td>{delivery.event}</td>
                    <td>
                      <Time at={delivery.createdAt} />
                    </td>
                    <td>
                      <Status status={delivery.status} />
                      {delivery.status === "pending" && delivery.attempts > 0 && (
                        <>
                          , again <Time at={delivery.runAt} />
                        </>
                      )}
                    </td>
                    <td class="number">{count(delivery.attempts)}</td>
                    <td class="long">{lastAnswer(delivery)}</td>
                    <td>
                      {mayAct && (
                        <Actions
                          name={name}
                          id={delivery.deliveryId}
                          actions={[["resend", "Resend"]]}
                        />
                      )}
                    </td>
                  </tr>
                ))}
              </Table>
            )}
            <nav class="pages" aria-label="Pages of deliveries">
              {before !== null && (
                <a href={`${here}?webhook=${chosen.webhookId}`}>
                  Newest
                </a>
              )}
              {rows.length > PER_PAGE && (
                <a
                  href={`${here}?${new URLSearchParams({
                    webhook: chosen.webhookId,
                    before: deliveries[PER_PAGE - 1].deliveryId,
                  })}`}
                >
                  Older
                </a>
              )}
            </nav>
          </>
        )}
      </>
    ),
  };
};

function State({ webhook: { disabledAt, failingSince, note } }: { readonly webhook: Webhook }) {
  if (disabledAt !== null) {
    return (
      <>
        <Status status="disabled" /> <Time at={disabledAt} />: {note}
      </>
    );
  }
  if (failingSince === null) return <Status status="ok" />;
  return (
    <>
      <Status status="failing" /> since <Time at={failingSince} />
    </>
  );
}

/** A form with a button for each action. */
function Actions(
  { name, id, actions }: {
    readonly name: string;
    readonly id: string;
    readonly actions: readonly (readonly [action: string, text: string])[];
  },
) {
  return (
    <form method="post" action="/ui/webhooks" class="actions">
      <input type="hidden" name="repo" value={name} />
      <input type="hidden" name="id" value={id} />
      {actions.map(([action, text]) => (
        <button
          type="submit"
          name="action"
          value={action}
          class={action === "remove" ? "bad" : ""}
        >
          {text}
        </button>
      ))}
    </form>
  );
}

function lastAnswer({ log }: Delivery): string {
  const last = log.at(-1);
  if (last === undefined) return "–";
  const how = last.error ?? `it answered ${last.status}`;
  const said = last.answer ? `: ${last.answer.slice(0, 120)}` : "";
  return `${how} in ${last.duration_ms} ms${said}`;
}
