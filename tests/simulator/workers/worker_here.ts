/**
 * A worker in this process, which can be killed and stopped like a process.
 *
 * Killed: all its calls fail from then on and its sockets are destroyed; the server finishes what it
 * was sent. Stopped: its requests and their answers wait until it is continued. Its timers go on
 * meanwhile; the profile `processes` stops real processes.
 *
 * @module
 */

import { type Config, loadConfig } from "../../../src/config/config.ts";
import { connectDatabase, type ConnectOptions } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { MpackdError } from "../../../src/errors.ts";
import { mpackdHandlers } from "../../../src/jobs/handlers.ts";
import { Listener } from "../../../src/jobs/worker/listener.ts";
import { Worker } from "../../../src/jobs/worker/worker.ts";
import type { WorkerEvent } from "../../../src/jobs/worker/worker_event.ts";
import type { BlobReader, BlobStore } from "../../../src/stream/store/blob_store.ts";
import { CONCURRENCY, MOST_CONNECTIONS } from "../settings.ts";
import { handleRejection, reset, type StatementFaults } from "../faults/statement_faults.ts";
import type { Tally } from "../tally.ts";

/** A worker, in this process or in another. */
export interface SimWorker {
  /** Its name in events. */
  readonly name: string;
  /** Resolves when it has claimed its first job. */
  readonly claimed: Promise<void>;
  /** Ends it as SIGKILL does. */
  kill(): Promise<void>;
  /** Stops it as SIGSTOP does. */
  stop(): void;
  /** Continues it as SIGCONT does. */
  continue(): void;
  /** Ends it as SIGTERM does; fails if it does not end. */
  drain(): Promise<void>;
  /** What it did wrong so far, and, when it has ended, what it left open. */
  problems(): string[];
}

/** What a worker in this process is made of. */
export interface SimulatedWorkerOptions {
  /** Its name. */
  readonly name: string;
  /** Its settings. */
  readonly env: Readonly<Record<string, string>>;
  /** The database. */
  readonly databaseUrl: string;
  /** Opens the store that has the faults, by a `fetch`. */
  readonly openStore: (config: Config, send: typeof fetch) => BlobStore;
  /** What happens to its statements. */
  readonly statements: StatementFaults;
  /** Hears what it does. */
  readonly tally: Tally;
}

/** Waits after a failure are short, too. */
const BACKOFF = { baseDelayMs: 10, maxDelayMs: 200 };
const DRAIN_LIMIT_MS = 30_000;
const CLOSE_TURNS = 500;

/** Starts one. */
export function startSimulatedWorker(options: SimulatedWorkerOptions): SimWorker {
  return new SimulatedWorker(options);
}

class SimulatedWorker implements SimWorker {
  readonly name: string;
  readonly claimed: Promise<void>;
  readonly #claimed = Promise.withResolvers<void>();
  readonly #tally: Tally;
  readonly #pools: Database[] = [];
  readonly #drain = new AbortController();
  readonly #force = new AbortController();
  readonly #listener: Listener;
  readonly #over: Promise<void>;
  readonly #problems: string[] = [];
  #openReaders = 0;
  #isDead = false;
  #stopped: { readonly until: Promise<void>; readonly end: () => void } | undefined;

  constructor(options: SimulatedWorkerOptions) {
    const { name, env, databaseUrl, openStore, statements, tally } = options;
    this.name = name;
    this.claimed = this.#claimed.promise;
    this.#tally = tally;
    const connect = (wanted: ConnectOptions): Database => {
      const pool = connectDatabase(databaseUrl, wanted);
      this.#pools.push(pool);
      return {
        ...pool,
        intercept: (query, action) => {
          handleRejection(query);
          return this.#reach(() => statements.send(pool, query, action));
        },
      };
    };
    const config = loadConfig(env);
    const db = connect({
      maxConnections: config.databaseConnections,
      statementTimeoutMs: config.databaseTimeoutMs,
      applicationName: `mpackd ${name}`,
    });
    const store = this.#watched(
      openStore(config, (...request) => this.#reach(() => fetch(...request))),
    );
    const worker = new Worker({
      db,
      handlers: mpackdHandlers({
        db,
        store,
        config,
        onStartOver: (reason, job) =>
          tally.note(`${name}: ${short(job.jobId)} starts over: ${reason}`),
      }),
      worker: name,
      leaseMs: config.leaseMs,
      concurrency: CONCURRENCY,
      perRepo: CONCURRENCY,
      pollMs: config.pollMs,
      drainMs: config.drainMs,
      signal: this.#drain.signal,
      force: this.#force.signal,
      observe: (event) => this.#observe(event),
      backoff: () => BACKOFF,
    });
    this.#listener = new Listener({
      connect: (wanted) => connect({ ...wanted, applicationName: `mpackd ${name} listener` }),
      onWake: () => worker.wake(),
    });
    this.#over = worker.run();
  }

  async kill(): Promise<void> {
    this.#isDead = true;
    this.continue();
    for (const { sockets } of this.#pools) sockets.dropSilent(Infinity);
    this.#drain.abort();
    this.#force.abort();
    await this.#end();
  }

  stop(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stopped = { until: promise, end: resolve };
  }

  continue(): void {
    this.#stopped?.end();
    this.#stopped = undefined;
  }

  async drain(): Promise<void> {
    this.#drain.abort();
    await this.#end();
  }

  problems(): string[] {
    const sockets = this.#openSockets();
    return sockets <= MOST_CONNECTIONS
      ? this.#problems
      : [...this.#problems, `${this.name} has ${sockets} sockets to the database open`];
  }

  async #end(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), DRAIN_LIMIT_MS);
    });
    const ending = (async () => {
      await this.#over;
      await this.#listener[Symbol.asyncDispose]();
      await Promise.all(this.#pools.map((pool) => pool.close()));
    })();
    const ended = await Promise.race([ending, late]);
    clearTimeout(timer);
    if (ended === "late") this.#problems.push(`${this.name} did not end in ${DRAIN_LIMIT_MS} ms`);
    // "close" of a destroyed socket comes with one of the next turns of the loop.
    for (let turn = 0; turn < CLOSE_TURNS && this.#openSockets() > 0; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (this.#openSockets() > 0) this.#problems.push(`${this.name} left sockets open`);
    if (this.#openReaders > 0) {
      this.#problems.push(`${this.name} left ${this.#openReaders} readers open`);
    }
  }

  #openSockets(): number {
    return this.#pools.reduce((sum, { sockets }) => sum + sockets.size, 0);
  }

  /** A call to the outside: it waits while the worker is stopped, and fails once it is dead. */
  async #reach<T>(call: () => Promise<T>): Promise<T> {
    await this.#stopped?.until;
    if (this.#isDead) throw reset();
    try {
      return await call();
    } finally {
      await this.#stopped?.until;
    }
  }

  #watched(store: BlobStore): BlobStore {
    const open: BlobStore["open"] = async (...wanted) => {
      const reader = await store.open(...wanted);
      this.#openReaders++;
      let isOpen = true;
      const close = async () => {
        if (isOpen) this.#openReaders--;
        isOpen = false;
        await reader.close();
      };
      const read: BlobReader["read"] = (into) => this.#reach(() => reader.read(into));
      return { stat: reader.stat, read, close, [Symbol.asyncDispose]: close };
    };
    return {
      url: store.url,
      open,
      stat: (...wanted) => store.stat(...wanted),
      put: (...wanted) => store.put(...wanted),
      delete: (...wanted) => store.delete(...wanted),
      list: (...wanted) => store.list(...wanted),
      presignPut: (...wanted) => store.presignPut(...wanted),
    };
  }

  #observe(event: WorkerEvent): void {
    if (event.type === "claimed") {
      this.#claimed.resolve();
      this.#tally.rescues += event.jobs.filter(({ isRescue }) => isRescue).length;
      const jobs = event.jobs.map(({ jobId, fence, isRescue }) =>
        `${short(jobId)}${isRescue ? " rescued" : ""} fence ${fence}`
      );
      return this.#tally.note(`${this.name}: claimed ${jobs.join(", ")}`);
    }
    if (event.type !== "ended") return;
    const { job, outcome } = event;
    const error = "error" in outcome ? outcome.error : undefined;
    this.#tally.note(
      `${this.name}: ${short(job.jobId)} fence ${job.fence} ${outcome.status} ${
        error?.message.slice(0, 160) ?? ""
      }`,
    );
    const isExpected = error === undefined || error instanceof MpackdError || this.#isDead;
    if (!isExpected) this.#problems.push(`${this.name} met an unexpected error: ${error.stack}`);
  }
}

/** Enough of a job's id to find it. */
export function short(jobId: string): string {
  return jobId.replace(/^(.*)sha256:(.{8}).*/, "$1$2");
}
