/**
 * Faults of the database server and its sessions.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";
import { execute } from "../../../src/db/client/execute.ts";
import type { TestServer } from "../../support/postgres/test_server.ts";
import type { Random } from "../../fuzz/random.ts";
import type { Tally } from "../tally.ts";
import { insist } from "../waits.ts";

/** The longest lock: more than a statement's deadline in the simulator. */
const MOST_LOCK_SECONDS = 4;

/** Tables that a publish writes. */
const LOCKED = [
  "musehub_background_jobs",
  "mpack_staged_objects",
  "musehub_objects",
  "musehub_object_refs",
];

/** The faults of one server. */
export class ServerFaults {
  readonly #parts: { server: TestServer; admin: Database; tally: Tally };
  readonly #running = new Set<Promise<unknown>>();

  /** `admin` must be a pool of its own: a fault may hold a connection for seconds. */
  constructor(parts: { server: TestServer; admin: Database; tally: Tally }) {
    this.#parts = parts;
  }

  /** Terminates a few sessions, idle or not. */
  async terminate(random: Random): Promise<void> {
    const { admin, tally } = this.#parts, most = 1 + random.below(4);
    const query = () =>
      admin.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name like 'mpackd%'
        order by random() limit ${most}`;
    const rows = await insist(() => execute(admin, query(), { action: "terminate sessions" }));
    for (const _ of rows) tally.fault("server backend terminated");
  }

  /** Kills the server and starts it again. Unlogged tables are empty afterwards. */
  async restart(): Promise<void> {
    const { server, tally } = this.#parts;
    // A restart would also end the sessions of the other faults.
    await this.settled();
    tally.fault("server restarted");
    await server.restart();
  }

  /** Locks a table for a while: other statements wait, perhaps until their deadline. */
  lock(random: Random, tables: readonly string[] = LOCKED): void {
    const table = random.pick(tables);
    const seconds = random.below(1000 * MOST_LOCK_SECONDS) / 1000;
    this.#parts.tally.fault("server table locked", `${table} ${seconds} s`);
    this.#run(`lock table ${table} in access exclusive mode; perform pg_sleep(${seconds});`);
  }

  /** Takes locks in another order than a publish does, which may deadlock. */
  deadlock(random: Random): void {
    const [later, earlier] = random.pick([
      ["musehub_objects", "musehub_background_jobs"],
      ["mpack_staged_objects", "musehub_background_jobs"],
      ["musehub_object_refs", "musehub_mpacks"],
      ["musehub_object_refs", "musehub_objects"],
    ]);
    this.#parts.tally.fault("server locks crossed", `${later}, ${earlier}`);
    this.#run(
      `lock table ${later} in exclusive mode; perform pg_sleep(0.2);
       lock table ${earlier} in exclusive mode;`,
    );
  }

  /** Waits until no fault holds a lock. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  #run(statements: string): void {
    // In one statement: no connection has to be reserved.
    const running = this.#parts.admin.sql.unsafe(`do $$ begin ${statements} end $$`)
      .then(
        () => {},
        (error) => this.#parts.tally.note(`the fault itself failed: ${error.message}`),
      )
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
