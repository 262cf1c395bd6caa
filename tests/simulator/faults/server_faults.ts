/**
 * What becomes of the database server and its sessions.
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

/** The faults of one server. */
export class ServerFaults {
  readonly #parts: { server: TestServer; admin: Database; tally: Tally };
  readonly #running = new Set<Promise<unknown>>();

  /** `admin` is a pool of nobody else's. */
  constructor(parts: { server: TestServer; admin: Database; tally: Tally }) {
    this.#parts = parts;
  }

  /** Ends a few sessions, whatever they are at. */
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

  /** Ends the server at once and starts it again: unlogged tables are empty afterwards. */
  async restart(): Promise<void> {
    const { server, tally } = this.#parts;
    // Its own sessions would die, too, and that is not what is tried.
    await this.settled();
    tally.fault("server restarted");
    await server.restart();
  }

  /** Holds a table for a while: what comes waits, perhaps until its deadline. */
  lock(random: Random): void {
    const table = random.pick([
      "musehub_background_jobs",
      "mpack_staged_objects",
      "musehub_objects",
      "musehub_object_refs",
    ]);
    const seconds = random.below(1000 * MOST_LOCK_SECONDS) / 1000;
    this.#parts.tally.fault("server table locked", `${table} ${seconds} s`);
    this.#run(`lock table ${table} in access exclusive mode; perform pg_sleep(${seconds});`);
  }

  /** Takes locks against the order in which a publish takes them. */
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

  /** Waits until no fault holds a lock any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  #run(statements: string): void {
    // One statement: its transaction ends with it, and no connection is pinned.
    const running = this.#parts.admin.sql.unsafe(`do $$ begin ${statements} end $$`)
      .then(
        () => {},
        (error) => this.#parts.tally.note(`the fault itself failed: ${error.message}`),
      )
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
