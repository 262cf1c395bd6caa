/**
 * Grows a catalog and its shards step by step, and notes what of each server is used.
 *
 * @module
 */

import { COSTS, INDEX_MEMORY_SHARE, type Server, TARGET_USE } from "./constants.ts";
import { makeRepos, randomOf, type RepoGroup } from "./repos.ts";

/** What is to be planned for. */
export interface Load {
  /** Objects at the end, counted once for each repo that has them. */
  readonly objects: number;
  readonly pushesPerSecond: number;
  readonly objectsPerPush: number;
  readonly objectBytes: number;
  readonly readsPerSecond: number;
  readonly repos: number;
  /** How unequal repos are: the exponent of Pareto's law. */
  readonly alpha: number;
}

/** What is to be tried. */
export interface Layout {
  readonly servers: number;
  readonly shardsPerServer: number;
  /** Whether shards are moved from the fullest server to the emptiest. */
  readonly isMoving: boolean;
}

/** What of a server is used, as parts of what it has. */
export type Use = Readonly<Record<Resource, number>>;

/** What can give out. */
export type Resource = typeof RESOURCES[number];

export const RESOURCES = [
  "catalog",
  "disk_reads",
  "wal",
  "cpu",
  "queue",
  "disk",
] as const;

/** How it goes. */
export interface Outcome {
  /** The most that any server uses of each resource at the end. */
  readonly use: Use;
  /** The fullest server's index by id, as a part of the memory that it gets. Above 1 it is read. */
  readonly indexInMemory: number;
  /** Connections to each server, if every process uses every shard, as a part of what it has. */
  readonly connections: number;
  /** What was first used more than it should be, and at how many objects; undefined: nothing. */
  readonly first: { readonly resource: Resource; readonly objects: number } | undefined;
  /** Objects of the fullest server beside those of the mean. */
  readonly skew: number;
  /** Shards that were moved. */
  readonly moves: number;
  /** Objects of the largest repo: it cannot be divided. */
  readonly largestRepo: number;
}

const STEPS = 20;
/** A server with so much more than the mean gives a shard away. */
const FULL = 1.1;

interface Shard {
  server: number;
  objects: number;
  pushShare: number;
  readonly repos: RepoGroup[];
}

/** Runs the growth with one seed: the same arguments give the same outcome. */
export function simulate(
  load: Load,
  server: Server,
  { servers, shardsPerServer, isMoving }: Layout,
  seed: number,
): Outcome {
  const random = randomOf(seed), repos = makeRepos({ ...load, random });
  const shards: Shard[] = Array.from({ length: servers * shardsPerServer }, (_, i) => ({
    server: i % servers,
    objects: 0,
    pushShare: 0,
    repos: [],
  }));
  let first: Outcome["first"], moves = 0, use = useOf([], server, load);
  for (let step = 1; step <= STEPS; step++) {
    const created = repos.slice(
      Math.floor((step - 1) * repos.length / STEPS),
      Math.floor(step * repos.length / STEPS),
    );
    place(created, shards, step);
    for (const shard of shards) {
      shard.objects = sum(shard.repos, ({ objects }) => objects) * step / STEPS;
      shard.pushShare = sum(shard.repos, ({ pushShare }) => pushShare);
    }
    if (isMoving) moves += balance(shards, servers);
    use = useOf(serversOf(shards, servers), server, load);
    const over = RESOURCES.find((resource) => use[resource] > TARGET_USE);
    if (first === undefined && over !== undefined) {
      first = { resource: over, objects: load.objects * step / STEPS };
    }
  }
  const fullest = Math.max(...serversOf(shards, servers).map(({ objects }) => objects));
  const largestRepo = Math.max(...repos.filter((one) => one.repos === 1).map((o) => o.objects), 0);
  return {
    use,
    indexInMemory: fullest * COSTS.objectIndexBytes / (server.memoryBytes * INDEX_MEMORY_SHARE),
    connections: shardsPerServer * processesFor(load) * COSTS.connectionsPerShard /
      server.connections,
    first,
    skew: fullest * servers / load.objects,
    moves,
    largestRepo,
  };
}

/** Puts each new repo where the fewest objects are: nobody knows how large it will be. */
function place(created: readonly RepoGroup[], shards: readonly Shard[], step: number): void {
  const heap = [...shards].sort((a, b) => a.objects - b.objects);
  let next = 0;
  for (const repo of created) {
    const shard = heap[next++ % heap.length];
    shard.repos.push(repo);
    shard.objects += repo.objects * step / STEPS;
    if (next % heap.length === 0) heap.sort((a, b) => a.objects - b.objects);
  }
}

/** Moves shards from full servers to empty ones while that helps; returns how many. */
function balance(shards: readonly Shard[], servers: number): number {
  const total = sum(shards, ({ objects }) => objects), mean = total / servers;
  let moves = 0;
  for (; moves < shards.length; moves++) {
    const held = serversOf(shards, servers).map(({ objects }) => objects);
    const fullest = held.indexOf(Math.max(...held)), emptiest = held.indexOf(Math.min(...held));
    if (held[fullest] <= FULL * mean) break;
    const gap = held[fullest] - held[emptiest];
    const fitting = shards.filter((one) => one.server === fullest && one.objects < gap)
      .sort((a, b) => b.objects - a.objects);
    const best = fitting.find(({ objects }) => objects <= gap / 2) ?? fitting.at(-1);
    if (best === undefined || best.objects === 0) break;
    best.server = emptiest;
  }
  return moves;
}

interface Held {
  objects: number;
  pushShare: number;
}

function serversOf(shards: readonly Shard[], servers: number): Held[] {
  const held = Array.from({ length: servers }, () => ({ objects: 0, pushShare: 0 }));
  for (const { server, objects, pushShare } of shards) {
    held[server].objects += objects;
    held[server].pushShare += pushShare;
  }
  return held;
}

/** The most that any of the servers uses. */
function useOf(held: readonly Held[], server: Server, load: Load): Use {
  const use: Record<Resource, number> = {
    catalog: catalogCores(load) / server.cores,
    disk_reads: 0,
    wal: 0,
    cpu: 0,
    queue: 0,
    disk: 0,
  };
  for (const { objects, pushShare } of held) {
    const pushes = load.pushesPerSecond * pushShare, newObjects = pushes * load.objectsPerPush;
    const reads = load.readsPerSecond * pushShare;
    const index = objects * COSTS.objectIndexBytes;
    const memory = server.memoryBytes * INDEX_MEMORY_SHARE;
    const missing = index > memory ? 1 - memory / index : 0;
    const cpuMs = newObjects * COSTS.objectCpuMs + pushes * COSTS.pushCpuMs +
      reads * COSTS.lookupCpuMs;
    const now: Omit<Use, "catalog"> = {
      disk_reads: newObjects * missing / server.diskReadsPerSecond,
      wal: newObjects * COSTS.objectWalBytes / server.walBytesPerSecond,
      cpu: cpuMs / 1_000 / server.cores,
      queue: pushes / COSTS.jobsPerSecond,
      disk: objects * COSTS.objectDiskBytes / server.diskBytes,
    };
    for (const [name, part] of Object.entries(now)) {
      use[name as Resource] = Math.max(use[name as Resource], part);
    }
  }
  return use;
}

/** Processes of `serve` and `worker` of one core each. */
export function processesFor(load: Load): number {
  const serveMs = load.pushesPerSecond * COSTS.servePushCpuMs +
    load.readsPerSecond * COSTS.serveReadCpuMs;
  return Math.ceil(
    (serveMs / 1_000 + bytesPerSecond(load) / COSTS.hashBytesPerSecond) / TARGET_USE,
  );
}

/** What pushes bring. */
export function bytesPerSecond(load: Load): number {
  return load.pushesPerSecond * load.objectsPerPush * load.objectBytes;
}

/** Cores of the catalog's server that are busy: each request asks it once, a push twice. */
export function catalogCores({ pushesPerSecond, readsPerSecond }: Load): number {
  return (2 * pushesPerSecond + readsPerSecond) * COSTS.lookupCpuMs / 1_000;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += of(item);
  return total;
}
