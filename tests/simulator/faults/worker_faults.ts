/**
 * Faults of workers: they are killed, stopped for longer than their leases, or told to end. A worker
 * that ends is replaced.
 *
 * @module
 */

import type { Random } from "../../fuzz/random.ts";
import { SHORT_ENV, STOP_MS, USUAL_ENV } from "../settings.ts";
import type { Tally } from "../tally.ts";
import type { SimWorker } from "../workers/worker_here.ts";

/** Starts a worker with a name and settings. */
export type StartWorker = (name: string, env: Readonly<Record<string, string>>) => SimWorker;

/** The workers of one run. */
export class Workers {
  readonly #tally: Tally;
  readonly #start: StartWorker;
  readonly #count: number;
  readonly #living: SimWorker[] = [];
  readonly #busy = new WeakSet<SimWorker>();
  readonly #stoppedAt = new Map<SimWorker, number>();
  readonly #leaving = new Set<Promise<void>>();
  readonly #problems: string[] = [];
  #started = 0;

  /** Starts so many. */
  constructor(count: number, start: StartWorker, tally: Tally) {
    this.#tally = tally;
    this.#start = start;
    this.#count = count;
    for (let i = 0; i < count; i++) this.#add();
  }

  /** What they did wrong. */
  problems(): string[] {
    return [...this.#problems, ...this.#living.flatMap((worker) => worker.problems())];
  }

  /** Waits until one has claimed a job. */
  async isOneBusy(): Promise<void> {
    await Promise.race(this.#living.map((worker) => worker.claimed));
  }

  /** Kills one, if possible one that has claimed a job: a worker that still starts loses nothing. */
  kill(random: Random): void {
    const busy = this.#living.filter((worker) => this.#busy.has(worker));
    const worker = this.#take(random.pick(busy.length > 0 ? busy : this.#living));
    this.#tally.fault("worker killed", worker.name);
    this.#watchEnd(worker, worker.kill());
  }

  /** Tells one to end. */
  drain(random: Random): void {
    const worker = this.#take(random.pick(this.#living));
    this.#tally.fault("worker drained", worker.name);
    worker.continue();
    this.#watchEnd(worker, worker.drain());
  }

  /** Stops one, unless it is. */
  stop(random: Random): void {
    const worker = random.pick(this.#living);
    if (this.#stoppedAt.has(worker)) return;
    this.#tally.fault("worker stopped past its lease", worker.name);
    this.#stoppedAt.set(worker, performance.now());
    worker.stop();
  }

  /** Continues those whose leases have lapsed; with `all`, waits until that is so of every one. */
  async continue({ all = false } = {}): Promise<void> {
    for (const [worker, stoppedAt] of this.#stoppedAt) {
      const leftMs = stoppedAt + STOP_MS - performance.now();
      if (leftMs > 0 && !all) continue;
      if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
      this.#tally.note(`${worker.name} is continued`);
      this.#stoppedAt.delete(worker);
      worker.continue();
    }
  }

  /** Replaces all by workers with the usual settings. */
  async calmDown(): Promise<void> {
    await this.end();
    for (let i = 0; i < this.#count; i++) this.#add(USUAL_ENV);
  }

  /** Ends all of them. */
  async end(): Promise<void> {
    await this.continue({ all: true });
    for (const worker of this.#living.splice(0)) this.#watchEnd(worker, worker.drain());
    await Promise.all(this.#leaving);
  }

  #add(env = SHORT_ENV): void {
    const worker = this.#start(`w${++this.#started}`, env);
    // A worker that ends before its first job never gets busy.
    worker.claimed.then(() => this.#busy.add(worker), () => {});
    this.#living.push(worker);
  }

  #take(worker: SimWorker): SimWorker {
    this.#living.splice(this.#living.indexOf(worker), 1);
    this.#stoppedAt.delete(worker);
    this.#add();
    return worker;
  }

  #watchEnd(worker: SimWorker, ending: Promise<void>): void {
    const watching = ending
      .catch((error) => this.#problems.push(`${worker.name} ended badly: ${error.stack}`))
      .then(() => {
        this.#problems.push(...worker.problems());
        this.#leaving.delete(watching);
      });
    this.#leaving.add(watching);
  }
}
