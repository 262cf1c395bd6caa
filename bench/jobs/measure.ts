/**
 * The measurements of the bench, each on a database of its own.
 *
 * @module
 */

import postgres from "postgres";
import type { Contender, System } from "./system.ts";

const PAUSE_MS = 20;
/** Jobs before the first one that counts: connections are made and statements planned. */
const WARM_UP = 30;

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

  /**
   * From the call that adds a job until the handler of an idle worker begins. The contenders take
   * turns, job by job, so that what else the machine does falls on all of them.
   */
  async pickups(contenders: readonly Contender[], samples: number): Promise<Percentiles[]> {
    await using open = new AsyncDisposableStack();
    const lanes: (() => Promise<number>)[] = [];
    for (const contender of contenders) {
      const system = open.use(await contender.open(await this.database()));
      let begun = () => {};
      open.use(await system.startWorker(() => begun()));
      lanes.push(async () => {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        const { promise, resolve } = Promise.withResolvers<void>();
        begun = resolve;
        const at = performance.now();
        await system.add();
        await promise;
        return performance.now() - at;
      });
    }
    const found: number[][] = contenders.map(() => []);
    for (let i = -WARM_UP; i < samples; i++) {
      for (const [lane, sample] of lanes.entries()) {
        const ms = await sample();
        if (i >= 0) found[lane].push(ms);
      }
    }
    return found.map((each) => {
      each.sort((a, b) => a - b);
      return { p50: each[Math.floor(0.5 * samples)], p99: each[Math.floor(0.99 * samples)] };
    });
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

  /**
   * Milliseconds from a worker's death by SIGKILL until another one begins its job again; undefined
   * if that takes longer than `limitMs`.
   */
  async rescue({ name, open }: Contender, limitMs: number): Promise<number | undefined> {
    const url = await this.database();
    await using system = await open(url);
    await system.add();
    const victim = await startVictim(name, url);
    victim.kill("SIGKILL");
    const killedAt = performance.now();
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    await using _worker = await system.startWorker(() => resolve(performance.now() - killedAt));
    const timer = setTimeout(() => resolve(undefined), limitMs);
    const ms = await promise;
    clearTimeout(timer);
    return ms;
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

/** A worker in a process of its own that begins a job and never ends it. */
async function startVictim(name: string, url: string): Promise<Deno.ChildProcess> {
  const script = new URL("./victim.ts", import.meta.url).href;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", script, name, url],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  await reader.cancel();
  if (done) throw new Error(`The worker of ${name} ended before its job began`);
  return child;
}

async function pace(system: System, seconds: number, perSecond: number): Promise<void> {
  const startedAt = performance.now();
  for (let jobs = 0; jobs < seconds * perSecond; jobs++) {
    const dueMs = 1000 * jobs / perSecond - (performance.now() - startedAt);
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    await system.add();
  }
}
