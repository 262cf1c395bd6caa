/**
 * A move's statements on the server that the shard leaves: publication and slot.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { hasSqlState } from "../publish/sql_state.ts";
import { DURABLY, quoteName, quoteText, runText } from "./move_sql.ts";

/** A slot waits until the transactions that run have ended. */
const SLOT_DEADLINE_MS = 10 * 60_000;

/** Publishes tables under a name. Twice changes nothing. */
export async function createPublication(
  source: Database,
  name: string,
  tables: readonly string[],
): Promise<void> {
  await runText(
    source,
    "publish a shard's tables",
    `do $publish$
    begin
      perform ${DURABLY};
      if not exists (select from pg_publication where pubname = ${quoteText(name)}) then
        create publication ${quoteName(name)} for table ${tables.map(quoteName).join(", ")};
      end if;
    end
    $publish$`,
  );
}

/** Removes a publication, if it is there. */
export async function dropPublication(source: Database, name: string): Promise<void> {
  await runText(source, "remove a publication", `drop publication if exists ${quoteName(name)}`);
}

/** A slot, which keeps the WAL that the target has not got. */
export interface Slot {
  /** Whether the target is connected. */
  readonly is_active: boolean;
  /** False if the server has thrown away WAL that the target needs. */
  readonly is_whole: boolean;
  /** Bytes of WAL that the target has not confirmed. */
  readonly lag_bytes: number;
}

/** Looks at a slot. */
export async function findSlot(source: Database, name: string): Promise<Slot | undefined> {
  const [slot] = await source.query<Slot>("look at a replication slot")`
    select active as is_active, coalesce(wal_status <> 'lost', true) as is_whole,
      pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn)::bigint as lag_bytes
    from pg_replication_slots where slot_name = ${name}`;
  return slot;
}

/** Makes a slot, if it is not there. */
export async function createSlot(source: Database, name: string): Promise<void> {
  const query = source.query("make a replication slot", { deadlineMs: SLOT_DEADLINE_MS });
  try {
    await query`
      select pg_create_logical_replication_slot(${name}, 'pgoutput')
      where not exists (select from pg_replication_slots where slot_name = ${name})`;
  } catch (error) {
    // duplicate_object: a process that was taken for dead has made it.
    if (!hasSqlState(error, "42710")) throw error;
  }
}

/**
 * Removes the slots of a move: its own, and those of the subscription's helpers, each of which
 * copies one table.
 *
 * @returns False if the target still uses one; try again.
 */
export async function dropSlots(
  source: Database,
  name: string,
  subscriptionOid: number | null,
): Promise<boolean> {
  const slots = await source.query<{ slot: string; is_active: boolean }>(
    "look for the slots of a move",
  )`
    select slot_name::text as slot, active as is_active from pg_replication_slots
    where slot_name = ${name} or database = current_database()
      and starts_with(slot_name::text, ${`pg_${subscriptionOid ?? "none"}_sync_`}::text)
    order by slot_name`;
  let isDone = true;
  for (const { slot } of slots) {
    try {
      await source.query("remove a replication slot")`
        select pg_drop_replication_slot(slot_name) from pg_replication_slots
        where slot_name = ${slot}`;
    } catch (error) {
      // object_in_use, undefined_object
      if (hasSqlState(error, "55006")) isDone = false;
      else if (!hasSqlState(error, "42704")) throw error;
    }
  }
  return isDone;
}

/**
 * Ends the processes of the source that send to the slots of a move. One whose target is gone notices
 * it after `wal_sender_timeout`.
 */
export async function endSenders(
  source: Database,
  name: string,
  subscriptionOid: number | null,
): Promise<void> {
  try {
    await source.query("end what sends to a replication slot")`
      select pg_terminate_backend(active_pid) from pg_replication_slots
      where active_pid is not null and (slot_name = ${name} or database = current_database()
        and starts_with(slot_name::text, ${`pg_${subscriptionOid ?? "none"}_sync_`}::text))`;
  } catch (error) {
    // insufficient_privilege: it is another role's, and ends by itself.
    if (!hasSqlState(error, "42501")) throw error;
  }
}

/** The tables that the helpers of a subscription have slots for: their oids on the target. */
export async function findHelpers(source: Database, subscriptionOid: number): Promise<Set<number>> {
  const prefix = `pg_${subscriptionOid}_sync_`;
  const rows = await source.query<{ table: number }>("look for the slots of tables")`
    select split_part(substr(slot_name::text, length(${prefix}::text) + 1), '_', 1)::bigint as "table"
    from pg_replication_slots
    where database = current_database() and starts_with(slot_name::text, ${prefix}::text)`;
  return new Set(rows.map(({ table }) => table));
}

/** Whether the target has all up to there. */
export async function isReplayed(source: Database, name: string, lsn: string): Promise<boolean> {
  const [row] = await source.query<{ is_replayed: boolean }>("look how far the target is")`
    select confirmed_flush_lsn >= ${lsn}::pg_lsn as is_replayed
    from pg_replication_slots where slot_name = ${name}`;
  return row?.is_replayed ?? false;
}
