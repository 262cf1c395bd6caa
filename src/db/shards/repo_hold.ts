/**
 * Holds one repo while it moves: nothing of it is written where it was, and gc keeps away on both
 * sides.
 *
 * Publishes look at the hold that gc uses too. Other writers meet triggers for rows of this repo:
 * statements about one repo fail with the code of the fence, and those about many (claims, purges)
 * pass its rows over.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { SHARD_MOVED } from "../client/translate_error.ts";
import { hasSqlState } from "../publish/sql_state.ts";
import { DURABLY, quoteName, quoteText, runText } from "./move_sql.ts";

/** Named by the move's own statements, which the triggers let through. */
const SETTING = "mpackd.repo_move";
const TURN_MS = 300;

type Event = "insert" | "update" | "delete";

interface Held {
  readonly table: string;
  /** What fails. */
  readonly refused: readonly Event[];
  /** What passes the rows over. */
  readonly skipped: readonly Event[];
}

/** Rows of refs are inserted by publishes alone, and those are held. */
const HELD: readonly Held[] = [
  {
    table: "musehub_background_jobs",
    refused: ["insert"],
    skipped: ["update", "delete"],
  },
  { table: "musehub_mpacks", refused: ["insert", "update"], skipped: ["delete"] },
  { table: "musehub_object_refs", refused: [], skipped: ["update", "delete"] },
  { table: "musehub_commit_refs", refused: [], skipped: ["update", "delete"] },
  { table: "musehub_snapshot_refs", refused: [], skipped: ["update", "delete"] },
  { table: "musehub_branches", refused: ["insert", "update", "delete"], skipped: [] },
  { table: "musehub_tags", refused: ["insert", "update", "delete"], skipped: [] },
  { table: "mpackd_webhooks", refused: ["insert", "update", "delete"], skipped: [] },
  { table: "mpackd_uploads", refused: ["insert", "update"], skipped: ["delete"] },
];

/** The tables that get triggers where the repo is. */
export const HELD_TABLES: readonly string[] = [
  ...HELD.map(({ table }) => table),
  "mpackd_deliveries",
];

/** Those where it comes to: its work is not begun before it lives there. */
export const AWAITING_TABLES: readonly string[] = ["musehub_background_jobs", "mpackd_deliveries"];

function triggerName(moveId: string): string {
  return `mpackd_repo_move_${moveId}`;
}

/** A fragment of a statement of the move itself: true, once the triggers let it through. */
export function letThrough({ sql }: Database, moveId: string) {
  return sql`set_config(${SETTING}, ${moveId}, true) is not null`;
}

/** Pauses the claims of a repo's jobs. */
export async function pauseRepo(db: Database, repoId: string): Promise<void> {
  await db.query("pause a repo's jobs")`
    insert into mpackd_pauses (kind, value) values ('repo', ${repoId}) on conflict do nothing`;
}

/** Ends the pause. */
export async function resumeRepo(db: Database, repoId: string): Promise<void> {
  await db.query("resume a repo's jobs")`
    delete from mpackd_pauses where kind = 'repo' and value = ${repoId}`;
}

/** Jobs of the repo that run under a lease. */
export async function countRunningOf(db: Database, repoId: string): Promise<number> {
  const [{ running }] = await db.query<{ running: number }>("count a repo's running jobs")`
    select count(*)::int as running from musehub_background_jobs
    where repo_id = ${repoId} and status = 'running' and isfinite(lease_expires_at)
      and lease_expires_at > now()`;
  return running;
}

/**
 * Refuses the repo's publishes, and keeps gc away, until it is let go.
 *
 * @returns False while gc holds it.
 */
export async function holdRepoToMove(
  db: Database,
  repoId: string,
  moveId: string,
): Promise<boolean> {
  const runId = triggerName(moveId);
  const rows = await db.query("hold a repo that moves")`
    insert into mpackd_collections as c (repo_id, run_id, expires_at)
    values (${repoId}, ${runId}, 'infinity')
    on conflict (repo_id) do update set run_id = excluded.run_id, began_at = now(),
      expires_at = 'infinity', ended_at = null, state = null
    where c.ended_at is not null or c.expires_at < clock_timestamp() or c.run_id = excluded.run_id
    returning 1`;
  return rows.length > 0;
}

/** Ends the hold of a move. Attempts that began before start over. */
export async function letRepoGo(db: Database, repoId: string, moveId: string): Promise<void> {
  await db.query("let a repo go that has moved")`
    update mpackd_collections set ended_at = clock_timestamp(), expires_at = clock_timestamp()
    where repo_id = ${repoId} and run_id = ${triggerName(moveId)} and ended_at is null`;
}

/** Makes the function that the triggers call. */
export async function prepareHold(db: Database): Promise<void> {
  await runText(
    db,
    "prepare the hold of a repo",
    `create or replace function mpackd_repo_moves() returns trigger language plpgsql as $moves$
    begin
      if tg_argv[0] = 'refuse' then
        raise exception using errcode = '${SHARD_MOVED}',
          message = 'this repo moves to another shard, or has moved';
      end if;
      return null;
    end
    $moves$`,
  );
}

/** The webhooks of a repo. */
export async function webhooksOf(db: Database, repoId: string): Promise<string[]> {
  const webhooks = await db.query<{ id: string }>("list a repo's webhooks")`
    select webhook_id as id from mpackd_webhooks where repo_id = ${repoId} order by 1`;
  return webhooks.map(({ id }) => id);
}

/** Whose rows to hold, and which. */
export interface HeldRepo {
  readonly repoId: string;
  readonly moveId: string;
  readonly webhookIds: readonly string[];
  /** Whether rows may be inserted: the move itself brings them. */
  readonly isTarget?: boolean;
}

/**
 * Makes the triggers on one table.
 *
 * @throws {DatabaseError} If writers have not ended within a turn; try again.
 */
export async function holdTable(
  db: Database,
  table: string,
  { repoId, moveId, webhookIds, isTarget = false }: HeldRepo,
): Promise<void> {
  const isOther = `current_setting('${SETTING}', true) is distinct from ${quoteText(moveId)}`;
  const name = triggerName(moveId), statements: string[] = [];
  const add = (events: readonly Event[], what: string, isOurs: (row: string) => string) => {
    for (const [row, of] of [["new", ["insert", "update"]], ["old", ["delete"]]] as const) {
      const some = events.filter((event) => (of as readonly string[]).includes(event));
      if (some.length === 0) continue;
      statements.push(
        `create or replace trigger ${quoteName(`${name}_${what}_${row}`)}
        before ${some.join(" or ")} on ${quoteName(table)} for each row
        when (${isOurs(row)} and ${isOther}) execute function mpackd_repo_moves('${what}');`,
      );
    }
  };
  const held = HELD.find((held) => held.table === table);
  if (held === undefined) {
    if (webhookIds.length === 0) return;
    const list = webhookIds.map(quoteText).join(", ");
    add(["update", "delete"], "skip", (row) => `${row}.webhook_id in (${list})`);
  } else {
    const isOurs = (row: string) => `${row}.repo_id = ${quoteText(repoId)}`;
    if (!isTarget) add(held.refused, "refuse", isOurs);
    add(held.skipped, "skip", isOurs);
  }
  await runText(
    db,
    `hold the rows of a repo in ${table}`,
    `do $hold$
    begin
      perform set_config('lock_timeout', '${TURN_MS}ms', true);
      perform ${DURABLY};
      ${statements.join("\n")}
    end
    $hold$`,
  );
}

/** The tables that still have triggers of a move. */
export async function heldTables(db: Database, moveId: string): Promise<string[]> {
  const rows = await db.query<{ name: string }>("look for the hold of a repo")`
    select distinct c.relname::text as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = current_schema()::regnamespace
      and starts_with(t.tgname::text, ${`${triggerName(moveId)}_`}::text)
    order by 1`;
  return rows.map(({ name }) => name);
}

/**
 * Removes the triggers of a move from one table.
 *
 * @throws {DatabaseError} If others have not ended within a turn; try again.
 */
export async function releaseTable(db: Database, table: string, moveId: string): Promise<void> {
  const kinds = ["refuse_new", "refuse_old", "skip_new", "skip_old"];
  await runText(
    db,
    `let the rows of a repo in ${table} go`,
    `do $release$
    begin
      perform set_config('lock_timeout', '${TURN_MS}ms', true);
      ${
      kinds.map((kind) =>
        `drop trigger if exists ${quoteName(`${triggerName(moveId)}_${kind}`)} on ${
          quoteName(table)
        };`
      ).join("\n")
    }
    end
    $release$`,
  );
}

/** Removes the function of the triggers, unless another move uses it. */
export async function dropHold(db: Database): Promise<void> {
  try {
    await runText(db, "remove the hold of a repo", "drop function if exists mpackd_repo_moves()");
  } catch (error) {
    // dependent_objects_still_exist
    if (!hasSqlState(error, "2BP01")) throw error;
  }
}
