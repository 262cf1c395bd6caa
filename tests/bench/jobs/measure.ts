/**
 * The measurements of the bench, each on a database of its own.
 *
 * @module
 */

import postgres from "postgres";
import type { Contender, System } from "./system.ts";

const PAUSE_MS = 20;

/** Median and 99th percentile, in milliseconds. */
export interface Percentiles {
  /** The median. */
  readonly p50: number;
  /** The 99th percentile. */
  readonly p99: number;
}

/** Gives each measurement an empty database on one server. */
export class Bench {
  readonly #admin: postgres.Sql;
  #databases = 0;

  /** `serverUrl` is a superuser's. */
  constructor(readonly serverUrl: string) {
    this.#admin = postgres(serverUrl, { max: 1, onnotice: () => {} });
  }

  /** Ends its connection; the databases go with the server. */
  async close(): Promise<void> {
    await this.#admin.end();
  }

  /** The URL of a new database. */
  async database(): Promise<string> {
    const name = `bench_${this.#databases++}`;
    await this.#admin.unsafe(`create database ${name}`);
    const url = new URL(this.serverUrl);
    url.pathname = `/${name}`;
    return url.href;
  }

  /** Transactions that the database has committed so far. */
  async commits(url: string): Promise<number> {
    // Backends report what they did at most once a second.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const [{ n }] = await this.#admin`select xact_commit::int as n from pg_stat_database
      where datname = ${new URL(url).pathname.slice(1)}`;
    return n;
  }

  /** No-op jobs per second, each completed on its own. */
  async throughput({ open }: Contender, jobs: number, concurrency: number): Promise<number> {
    await using system = await open(await this.database());
    await system.fill(jobs);
    return 1000 * jobs / await system.burnDown(jobs, concurrency);
  }

  /** From the answer to "add" until the handler of an idle worker begins. */
  async pickup({ open }: Contender, samples: number): Promise<Percentiles> {
    await using system = await open(await this.database());
    let begun = () => {};
    await using _worker = await system.startWorker(() => begun());
    const found: number[] = [];
    for (let i = 0; i < samples; i++) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      const { promise, resolve } = Promise.withResolvers<void>();
      begun = resolve;
      const at = performance.now();
      await system.add();
      await promise;
      found.push(performance.now() - at);
    }
    found.sort((a, b) => a - b);
    return { p50: found[Math.floor(0.5 * samples)], p99: found[Math.floor(0.99 * samples)] };
  }

  /** Statements per second of a worker that has nothing to do. */
  async idle({ open }: Contender, seconds: number): Promise<number> {
    const url = await this.database();
    await using system = await open(url);
    await using _worker = await system.startWorker(() => {});
    const before = await this.commits(url);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    return (await this.commits(url) - before) / (seconds + 1.5);
  }

  /** Dead rows after so many seconds at `perSecond` jobs, as autovacuum leaves them. */
  async deadRows({ open }: Contender, seconds: number, perSecond: number): Promise<number> {
    const url = await this.database();
    await using system = await open(url);
    await using _worker = await system.startWorker(() => {});
    await pace(system, seconds, perSecond);
    const sql = postgres(url, { max: 1 });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const [{ dead }] = await sql`select sum(n_dead_tup)::int as dead from pg_stat_user_tables`;
    await sql.end();
    return dead;
  }
}

async function pace(system: System, seconds: number, perSecond: number): Promise<void> {
  const startedAt = performance.now();
  for (let jobs = 0; jobs < seconds * perSecond; jobs++) {
    const dueMs = 1000 * jobs / perSecond - (performance.now() - startedAt);
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    await system.add();
  }
}
