/**
 * What must happen when the faults have stopped: jobs end, and connections of dead workers close.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";
import { execute } from "../../../src/db/client/execute.ts";
import { pause } from "../waits.ts";

/** Without a job that ends; all together take about a second where the machine is not busy. */
const SETTLE_MS = 60_000;
const GONE_MS = 10_000;

/** Makes waiting jobs due: between two attempts of real workers there are minutes. */
export async function hurry(db: Database): Promise<void> {
  const query = db.sql`update musehub_background_jobs set run_at = null
    where status = 'pending' and run_at is not null`;
  await execute(db, query, { action: "hurry" });
}

/** How many jobs are pending or running. */
export async function openJobs(db: Database): Promise<number> {
  const query = db.sql`select count(*)::int as open from musehub_background_jobs
    where status in ('pending', 'running')`;
  const [{ open }] = await execute(db, query, { action: "count open jobs" });
  return open;
}

/** Waits until no job is open, or none has ended for too long. */
export async function settled(db: Database): Promise<void> {
  let endsAt = performance.now() + SETTLE_MS, fewest = Infinity;
  while (performance.now() < endsAt) {
    await hurry(db);
    const open = await openJobs(db);
    if (open === 0) return;
    if (open < fewest) endsAt = performance.now() + SETTLE_MS;
    fewest = Math.min(fewest, open);
    await pause(50);
  }
}

/** Connections that are still open although no worker runs. */
export async function leaks(
  db: Database,
  proxy: { readonly openSockets: number },
): Promise<string[]> {
  const endsAt = performance.now() + GONE_MS;
  for (;;) {
    const query = db.sql`select count(*)::int as sessions from pg_stat_activity
      where datname = current_database()
        and application_name like 'mpackd%' and application_name <> 'mpackd producer'`;
    const [{ sessions }] = await execute(db, query, { action: "count sessions" });
    const { openSockets } = proxy;
    if (sessions + openSockets === 0) return [];
    if (performance.now() > endsAt) {
      return [`dead workers left ${sessions} sessions and ${openSockets} connections to the store`];
    }
    await pause(20);
  }
}
