/**
 * Checks of what tables do by themselves: triggers, and the webhooks that one of them feeds.
 *
 * @module
 */

import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { counted, grouped } from "../../lib/numbers.ts";
import { type Check, ok, warning } from "./check.ts";

/** What does not happen without each trigger. */
const TRIGGERS: Readonly<Record<string, string>> = {
  mpackd_wake: "new jobs wait until a worker polls",
  mpackd_set_tenant: "new jobs of all owners share the turns of one",
  mpackd_note_job: "webhooks are not told of packs",
  mpackd_note_branch: "webhooks are not told of new and deleted branches",
  mpackd_note_branch_move: "webhooks are not told of branches that move",
};

/** Looks for the triggers. A restore or another program may have disabled them. */
export async function checkTriggers(db: Database): Promise<Check> {
  const rows = await db.query<{ name: string }>("look at the triggers")`
    select name from unnest(${arrayLiteral(Object.keys(TRIGGERS))}::text[]) as name
    where not exists (
      select from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where t.tgname = name and t.tgenabled in ('O', 'A')
        and c.relnamespace = current_schema()::regnamespace)
    order by name`;
  if (rows.length === 0) return ok("triggers", `${Object.keys(TRIGGERS).length} are enabled`);
  const found = rows.map(({ name }) => `${name} is disabled or missing: ${TRIGGERS[name]}`);
  const next = "alter table musehub_background_jobs enable trigger all; " +
    "alter table musehub_branches enable trigger all";
  return warning("triggers", found.join("; "), next);
}

/** Looks for webhooks that are disabled or fail. Says nothing where there is none. */
export async function* checkWebhooks(db: Database): AsyncGenerator<Check, void, undefined> {
  const [{ all, disabled, failing }] = await db.query<
    { all: number; disabled: number; failing: number }
  >("look at the webhooks")`
    select count(*) as all, count(disabled_at) as disabled,
      count(*) filter (where disabled_at is null and failing_since is not null) as failing
    from mpackd_webhooks`;
  if (all === 0) return;
  const found = `${counted(all, "webhook")}: ${grouped(disabled)} disabled, ${
    grouped(failing)
  } failing`;
  yield disabled + failing === 0 ? ok("webhooks", found) : warning(
    "webhooks",
    found,
    '"mpackd webhook list --repo OWNER/SLUG" says why; "webhook test" enables one again',
  );
}
