/**
 * Two processes `mpackd serve --worker` on one catalog, which are killed and started again.
 *
 * @module
 */

import type { Random } from "../../fuzz/random.ts";
import { type ServerProcess, startServer } from "../../support/http/server_process.ts";
import type { TestFixture } from "../../support/process/fixture.ts";
import type { Tally } from "../tally.ts";
import { until } from "../../support/until.ts";

const PROCESSES = 2;
const ENV = {
  MPACK_LEASE_MS: "3000",
  MPACK_POLL_MS: "500",
  MPACK_HTTP_WAIT_MS: "5000",
  MPACK_DB_TIMEOUT_MS: "10000",
};

/** What they work on. */
export interface Served {
  readonly catalogUrl: string;
  readonly folder: string;
}

/** The processes. */
export class ServerProcesses implements AsyncDisposable {
  readonly #served: Served;
  readonly #tally: Tally;
  readonly #alive: ServerProcess[] = [];

  private constructor(served: Served, tally: Tally) {
    this.#served = served;
    this.#tally = tally;
  }

  /** Starts all of them. */
  static async start(served: Served, tally: Tally): Promise<ServerProcesses> {
    const processes = new ServerProcesses(served, tally);
    await processes.revive();
    return processes;
  }

  /** Starts those that were killed. */
  async revive(): Promise<void> {
    await until("all processes run", async () => {
      if (this.#alive.length === PROCESSES) return true;
      const { catalogUrl: databaseUrl, folder } = this.#served;
      try {
        this.#alive.push(
          await startServer({
            fixture: { databaseUrl, folder } as TestFixture,
            isOpen: false,
            args: ["--worker"],
            env: ENV,
          }),
        );
      } catch (error) {
        // Its database may just be away.
        this.#tally.note(`a process does not start: ${(error as Error).message.slice(0, 300)}`);
      }
      return this.#alive.length === PROCESSES;
    }, { everyMs: 0 });
  }

  /** Kills one with SIGKILL, and starts another. */
  async kill(random: Random): Promise<void> {
    await this.revive();
    const at = random.below(this.#alive.length), [killed] = this.#alive.splice(at, 1);
    this.#tally.fault("process killed");
    await killed.kill();
    await killed[Symbol.asyncDispose]();
    await this.revive();
  }

  /** Sends a request to one of them. */
  async fetch(path: string, init: RequestInit): Promise<Response> {
    const at = Math.floor(Math.random() * this.#alive.length), process = this.#alive[at];
    if (process === undefined) throw new TypeError("no process is alive");
    return await fetch(`${process.url}${path}`, init);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#alive.map((process) => process[Symbol.asyncDispose]()));
  }
}
