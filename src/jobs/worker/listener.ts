/**
 * Being told at once that there is work: LISTEN on a connection of its own, and the doubt whether
 * it still works.
 *
 * NOTIFY is a hint and no more. A connection that died is silent like one with nothing to say, so
 * it is probed; and whatever was said while nobody listened is made good by one wake-up after each
 * LISTEN. Only plain statements are sent: a pinned connection that dies would end the process.
 *
 * @module
 */

import type { ConnectOptions } from "../../db/client/connect.ts";
import type { Database } from "../../db/client/database.ts";
import { execute } from "../../db/client/execute.ts";
import { sleep } from "../../lib/sleep.ts";

/** The channel on which inserts, retries and releases of jobs are announced. */
export const JOBS_CHANNEL = "mpackd_jobs";

/** A vanished peer is noticed after at most a probe's interval and its deadline, well within 30 s. */
const PROBE_MS = 10_000;
const PROBE_DEADLINE_MS = 5_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;

/** How to listen. */
export interface ListenerOptions {
  /** Opens a pool with these options; the listener closes it. */
  readonly connect: (options: ConnectOptions) => Database;
  /** Called for every announcement, and after each (re)LISTEN. */
  readonly onWake: () => void;
  /** Called when listening begins (no error) and when it was found broken. */
  readonly onChange?: (error?: Error) => void;
  /** Milliseconds between probes. Default 10,000. */
  readonly probeMs?: number;
  /** Milliseconds a probe may take. Default 5,000. */
  readonly probeDeadlineMs?: number;
}

/** Listens until closed, through every cut. */
export class Listener implements AsyncDisposable {
  readonly #options: ListenerOptions;
  readonly #db: Database;
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  #cut = new AbortController();

  /** Starts to listen; returns at once. */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#db = options.connect({
      maxConnections: 1,
      applicationName: "mpackd-listener",
      statementTimeoutMs: options.probeDeadlineMs ?? PROBE_DEADLINE_MS,
      onNotify: (channel) => channel === JOBS_CHANNEL && options.onWake(),
      onClose: () => this.#cut.abort(),
    });
    this.#done = this.#run();
  }

  /** Stops to listen. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#db.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { onWake, onChange, probeMs = PROBE_MS } = this.#options;
    let retryMs = FIRST_RETRY_MS;
    while (!this.#end.signal.aborted) {
      this.#cut = new AbortController();
      let waitMs = probeMs;
      try {
        if (!await this.#isListening()) {
          await execute(this.#db, this.#db.sql`listen mpackd_jobs`, { action: "listen for jobs" });
          onChange?.();
          onWake();
        }
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (this.#end.signal.aborted) return;
        onChange?.(error as Error);
        waitMs = retryMs * (0.5 + Math.random() / 2);
        retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
        // The failure closed the connection already: that is no reason to try again at once.
        this.#cut = new AbortController();
      }
      const signal = AbortSignal.any([this.#end.signal, this.#cut.signal]);
      await sleep(waitMs, signal).catch(() => {});
    }
  }

  /** Asks in the session itself: it may be another one than the one that listened. */
  async #isListening(): Promise<boolean> {
    const rows = await execute(
      this.#db,
      this.#db.sql`select from pg_listening_channels() channel where channel = ${JOBS_CHANNEL}`,
      { action: "probe the listener" },
    );
    return rows.length > 0;
  }
}
