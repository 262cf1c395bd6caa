/**
 * Wakes the worker on NOTIFY, over LISTEN on its own connection.
 *
 * A dead connection is as silent as an idle one, so it is probed. Notifications that came while it was
 * dead are lost, so the worker is woken once after each LISTEN. Only plain statements are sent:
 * postgres.js ends the process if a reserved connection dies.
 *
 * @module
 */

import type { ConnectOptions } from "../../db/client/connect.ts";
import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import { sleep } from "../../lib/sleep.ts";

/** The channel of notifications about inserted, retried and released jobs. */
const JOBS_CHANNEL = "mpackd_jobs";

/** A dead connection is noticed after at most the interval plus the deadline of a probe. */
const PROBE_MS = 10_000;
const PROBE_DEADLINE_MS = 5_000;
const MIN_RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;

/** How to listen. */
interface ListenerOptions {
  /** Opens a pool with these options; the listener closes it. */
  readonly connect: (options: ConnectOptions) => Database;
  /** Called for every notification, with its text, and after each LISTEN. */
  readonly onWake: (text?: string) => void;
  /** Called after each LISTEN (no error), and when the connection was found dead. */
  readonly onChange?: (error?: Error) => void;
  /** Milliseconds between probes. Default 10,000. */
  readonly probeMs?: number;
  /** Milliseconds a probe may take. Default 5,000. */
  readonly probeDeadlineMs?: number;
}

/** Listens until it is closed; reconnects after every error. */
export class Listener implements AsyncDisposable {
  readonly #options: ListenerOptions;
  readonly #db: Database;
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  #cut = new AbortController();

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#db = options.connect({
      maxConnections: 1,
      applicationName: "mpackd-listener",
      statementTimeoutMs: options.probeDeadlineMs ?? PROBE_DEADLINE_MS,
      onNotify: (channel, text) => channel === JOBS_CHANNEL && options.onWake(text),
      onClose: () => this.#cut.abort(),
    });
    this.#done = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#db.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { onWake, onChange, probeMs = PROBE_MS } = this.#options;
    let retryMs = MIN_RETRY_MS;
    while (!this.#end.signal.aborted) {
      this.#cut = new AbortController();
      let waitMs = probeMs;
      try {
        if (!await this.#isListening()) {
          await execute(this.#db, this.#db.sql`listen mpackd_jobs`, { action: "listen for jobs" });
          onChange?.();
          onWake();
        }
        retryMs = MIN_RETRY_MS;
      } catch (error) {
        if (this.#end.signal.aborted) return;
        onChange?.(error as Error);
        waitMs = retryMs * (0.5 + Math.random() / 2);
        retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
        // The error has closed the connection; without this the retry would follow at once.
        this.#cut = new AbortController();
      }
      const signal = AbortSignal.any([this.#end.signal, this.#cut.signal]);
      await sleep(waitMs, signal).catch(() => {});
    }
  }

  /** Asks in the session: after a reconnect it is another one, which does not listen yet. */
  async #isListening(): Promise<boolean> {
    const rows = await execute(
      this.#db,
      this.#db.sql`select from pg_listening_channels() channel where channel = ${JOBS_CHANNEL}`,
      { action: "probe the listener" },
    );
    return rows.length > 0;
  }
}
