/**
 * Wakes workers on NOTIFY, over LISTEN on a connection of its own, one for each server.
 *
 * A dead connection is as silent as an idle one, so it is probed. Notifications that came while it was
 * dead are lost, so the workers are woken once after each LISTEN. Only plain statements are sent:
 * postgres.js ends the process if a reserved connection dies.
 *
 * @module
 */

import type { ConnectOptions } from "../../db/client/connect.ts";
import type { Database } from "../../db/client/database.ts";
import { sleep } from "../../lib/sleep.ts";

/** A dead connection is noticed after at most the interval plus the deadline of a probe. */
const PROBE_MS = 10_000;
const PROBE_DEADLINE_MS = 5_000;
const MIN_RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;

/** Who is woken. */
export interface Hearer {
  /**
   * The channel of notifications about inserted, retried and released jobs: each schema has its own.
   * Default: that of the connection's schema.
   */
  readonly channel?: string;
  /** Called for every notification, with its text, and after each LISTEN. */
  readonly onWake: (text?: string) => void;
  /** Called when LISTEN works (no error), and when the connection was found dead. */
  readonly onChange?: (error?: Error) => void;
}

/** How to listen. */
interface ListenerOptions extends Hearer {
  /** Opens a pool with these options; the listener closes it. */
  readonly connect: (options: ConnectOptions) => Database;
  /** Milliseconds between probes. Default 10,000. */
  readonly probeMs?: number;
  /** Milliseconds a probe may take. Default 5,000. */
  readonly probeDeadlineMs?: number;
}

interface State {
  channel: string | null;
  /** Whether it was told so; undefined: nothing yet. */
  isListening?: boolean;
}

/** Listens until it is closed; reconnects after every error. */
export class Listener implements AsyncDisposable {
  readonly #options: ListenerOptions;
  readonly #db: Database;
  readonly #hearers = new Map<Hearer, State>();
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  #cut = new AbortController();
  /** Whether the last probe was answered. */
  #isHearing = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#hearers.set(options, { channel: options.channel ?? null });
    this.#db = options.connect({
      maxConnections: 1,
      applicationName: "mpackd-listener",
      statementTimeoutMs: options.probeDeadlineMs ?? PROBE_DEADLINE_MS,
      onNotify: (channel, text) => {
        for (const [hearer, state] of this.#hearers) {
          if (state.channel === channel) hearer.onWake(text);
        }
      },
      // One that was never open closes, too, some time after its error: that must not end the pause.
      onClose: () => {
        if (this.#isHearing) this.#cut.abort();
      },
    });
    this.#done = this.#run();
  }

  /** Listens to another channel of the same server. Returns what ends it. */
  add(hearer: Hearer): () => void {
    this.#hearers.set(hearer, { channel: hearer.channel ?? null });
    this.#cut.abort();
    return () => this.#hearers.delete(hearer);
  }

  /** Wakes the one it was made for no longer; the others go on. */
  remove(): void {
    this.#hearers.delete(this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#db.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { probeMs = PROBE_MS } = this.#options;
    let retryMs = MIN_RETRY_MS;
    while (!this.#end.signal.aborted) {
      this.#cut = new AbortController();
      let waitMs = probeMs;
      try {
        await this.#listen();
        this.#isHearing = true;
        retryMs = MIN_RETRY_MS;
      } catch (error) {
        if (this.#end.signal.aborted) return;
        this.#isHearing = false;
        for (const [hearer, state] of this.#hearers) {
          if (state.isListening !== false) hearer.onChange?.(error as Error);
          state.isListening = false;
        }
        waitMs = retryMs * (0.5 + Math.random() / 2);
        retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
        // The error has closed the connection; without this the retry would follow at once.
        this.#cut = new AbortController();
      }
      const signal = AbortSignal.any([this.#end.signal, this.#cut.signal]);
      await sleep(waitMs, signal).catch(() => {});
    }
  }

  /** Listens to each channel that the session does not hear: after a reconnect it is another one. */
  async #listen(): Promise<void> {
    const rows = await this.#db.query<{ channel: string }>("probe the listener")`
      select channel from pg_listening_channels() channel`;
    const heard = new Set(rows.map(({ channel }) => channel));
    for (const [hearer, state] of [...this.#hearers]) {
      if (state.isListening && heard.has(state.channel!)) continue;
      const [{ channel }] = await this.#db.query<{ channel: string }>("listen for jobs")`
        select mpackd_listen_1(${state.channel}::text) as channel`;
      state.channel = channel;
      state.isListening = true;
      hearer.onChange?.();
      hearer.onWake();
    }
  }
}
