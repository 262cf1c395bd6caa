/**
 * What one object, push or read costs, as it was measured. `deno task bench` and docs/benchmarks.md
 * have the runs: two cores of an AMD EPYC, PostgreSQL 18.4 (15.18 for the lookup).
 *
 * @module
 */

/** Cost of each thing, in the units of its name. */
export const COSTS = {
  /** Tables and indexes of one object of one repo, with pages 70 % full (docs/scale.md). */
  objectDiskBytes: 800,
  /** The entry in the index of `musehub_objects`: each new object touches a random leaf of it. */
  objectIndexBytes: 125,
  /** WAL of one new object among others (docs/scale.md). */
  objectWalBytes: 2_018,
  /** PostgreSQL's processor time for one new object among ten million others: 51,000 a second. */
  objectCpuMs: 1_000 / 51_000,
  /**
   * PostgreSQL's processor time for the rest of a push: job, pack, commit, snapshot. A worker with 64
   * jobs at once took 1.0 ms for a pack of 20 objects and a commit, of which the objects are 0.4.
   */
  pushCpuMs: 0.6,
  /**
   * PostgreSQL's processor time for the statement before each request, token and repo: 201,000 of
   * them by pgbench, prepared, among 20,000 tokens and 100,000 repos, took 6.5 s.
   */
  lookupCpuMs: 0.032,
  /** Jobs a second through the queue of one database, where NOTIFY takes one lock. */
  jobsPerSecond: 3_800,
  /** Processor time of `serve` for a push of one small pack. */
  servePushCpuMs: 5,
  /** Processor time of `serve` for a GET of 4 KiB. */
  serveReadCpuMs: 0.21,
  /** Bytes that one core hashes and decodes in a second: the default engine. */
  hashBytesPerSecond: 450e6,
  /** Connections that each process holds to a shard that it uses. */
  connectionsPerShard: 2,
} as const;

/** A server for PostgreSQL as it can be rented. Assumed, not measured: change it by flags. */
export interface Server {
  readonly cores: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** Random reads of 8 KiB a second. */
  readonly diskReadsPerSecond: number;
  /** WAL that its disk takes in a second, written and flushed. */
  readonly walBytesPerSecond: number;
  readonly connections: number;
}

/** The part of its memory that the index by id gets: the refs being pushed need the rest. */
export const INDEX_MEMORY_SHARE = 0.5;

/** What is used of anything at its busiest: above it, waiting grows faster than the load. */
export const TARGET_USE = 0.7;
