/**
 * What the bench wants of a job system.
 *
 * @module
 */

/** A job system on a database of its own, set up and empty. */
export interface System extends AsyncDisposable {
  /** Puts `count` jobs into the queue; not timed. */
  fill(count: number): Promise<void>;
  /** Runs what is in the queue, each job completed on its own; how many ms that took. */
  burnDown(count: number, concurrency: number): Promise<number>;
  /** Starts a worker whose handler is `onJob`. */
  startWorker(onJob: () => void | Promise<void>): Promise<AsyncDisposable>;
  /** Puts one job into the queue. */
  add(): Promise<void>;
}

/** One of the systems compared. */
export interface Contender {
  /** Its name in the table. */
  readonly name: string;
  /** Opens it on an empty database. */
  open(databaseUrl: string): Promise<System>;
}

/** Resolves when called so many times. */
export function countdown(count: number): { readonly done: Promise<void>; hit(): void } {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  return { done, hit: () => --count === 0 && resolve() };
}
