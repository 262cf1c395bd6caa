/**
 * Checks of what the schema does by itself: triggers, functions, and the webhooks that triggers feed.
 *
 * @module
 */

import { arrayLiteral } from "../../db/client/array_literal.ts";
import type { Database } from "../../db/client/database.ts";
import { madeFunctions, madeTriggers } from "../../db/schema/made_by.ts";
import { counted, grouped } from "../../lib/numbers.ts";
import { type Check, failure, ok, warning } from "./check.ts";

/**
 * What does not happen without each trigger.
 *
 * @internal Exported for tests.
 */
export const EFFECTS: Readonly<Record<string, string>> = {
  mpackd_wake: "new jobs wait until a worker polls",
  mpackd_set_tenant: "new jobs of all owners share the turns of one",
  mpackd_note_job: "webhooks are not told of packs",
  mpackd_note_branch: "webhooks are not told of new and deleted branches",
  mpackd_note_branch_move: "webhooks are not told of branches that move",
  mpackd_note_shards: "workers learn seconds later that shards have changed",
};

/** Looks for the triggers. A restore or another program may have disabled them. */
export async function checkTriggers(db: Database): Promise<Check> {
  const made = madeTriggers();
  const rows = await db.query<{ name: string; is_there: boolean }>("look at the triggers")`
    select m.name, t.oid is not null as is_there
    from json_to_recordset(${JSON.stringify(made)}::text::json) as m(name text, "table" text)
    left join pg_trigger t on t.tgname = m.name and t.tgrelid = to_regclass(quote_ident(m."table"))
    where t.oid is null or t.tgenabled not in ('O', 'A')
    order by m.name`;
  if (rows.length === 0) return ok("triggers", `${counted(made.length, "trigger")} enabled`);
  const found = rows.map(({ name, is_there }) =>
    `${name} is ${is_there ? "disabled" : "missing"}${EFFECTS[name] ? `: ${EFFECTS[name]}` : ""}`
  );
  const isThere = new Map(rows.map((row) => [row.name, row.is_there]));
  const steps = made.filter(({ name }) => isThere.has(name)).map(({ name, table, statement }) =>
    isThere.get(name) ? `alter table ${table} enable trigger ${name}` : statement
  );
  return warning("triggers", found.join("; "), steps.join("; "));
}

/** Looks for the functions. A restore of single tables, or another program, may have left them out. */
export async function checkFunctions(db: Database): Promise<Check> {
  const made = madeFunctions();
  const rows = await db.query<{ name: string }>("look at the functions")`
    select name from unnest(${arrayLiteral(made)}::text[]) as name
    where not exists (
      select from pg_proc p
      where p.proname = name and p.pronamespace = current_schema()::regnamespace)
    order by name`;
  if (rows.length === 0) return ok("functions", `${counted(made.length, "function")} there`);
  return failure(
    "functions",
    `${rows.map(({ name }) => name).join(", ")} missing`,
    'copy each from a database that "mpackd migrate" has made: \\sf NAME in psql prints it',
  );
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
