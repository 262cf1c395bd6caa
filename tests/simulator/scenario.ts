/**
 * What an episode is made of: how many workers and jobs, and which faults.
 *
 * @module
 */

/** What a step of an episode can do. The weight of an action says how often it is drawn. */
export type Action =
  | "push"
  | "statement"
  | "store"
  | "terminate"
  | "deadlock"
  | "lock"
  | "restart"
  | "kill"
  | "stop"
  | "drain"
  | "cancel";

/** One kind of episode. */
export interface Scenario {
  /** Workers at any moment: one that ends is replaced. */
  readonly workers: number;
  /** True: a process for each worker, with real signals. False: all workers in this process. */
  readonly processes: boolean;
  /** Repos that packs are pushed to. */
  readonly repos: number;
  /** Packs that are pushed before the first step. */
  readonly packs: number;
  /** True: packs of few small objects, so that thousands of jobs fit into a run. */
  readonly smallPacks: boolean;
  /** Actions with which the episode begins, in this order. */
  readonly opening: readonly Action[];
  /** Actions drawn afterwards, with their weights. */
  readonly weights: Readonly<Partial<Record<Action, number>>>;
  /** Pauses between steps, in milliseconds. */
  readonly pausesMs: readonly number[];
  /** Steps; "queue" goes on until no job is open. */
  readonly steps: number | "queue";
  /** Steps go on for so long at least. */
  readonly minimumMs: number;
  /** The whole database is compared with what was pushed after every so many steps. */
  readonly lookEvery: number;
}

const ALL_FAULTS: Scenario = {
  workers: 3,
  processes: false,
  repos: 3,
  packs: 0,
  smallPacks: false,
  opening: [],
  weights: {
    push: 14,
    statement: 7,
    store: 7,
    terminate: 3,
    deadlock: 2,
    lock: 1,
    restart: 1,
    kill: 3,
    stop: 2,
    drain: 1,
    cancel: 2,
  },
  pausesMs: [0, 10, 30, 100, 300],
  steps: 40,
  minimumMs: 0,
  lookEvery: 1,
};

/** Every fault, on workers in this process: their calls fail, nothing is really killed. */
export function allFaults(steps: number): Scenario {
  return { ...ALL_FAULTS, steps };
}

/** Every fault, on worker processes. A process needs a second to start before it can be killed. */
export function allFaultsOnProcesses(steps: number): Scenario {
  return { ...ALL_FAULTS, processes: true, pausesMs: [0, 100, 300, 1_000, 2_000], steps };
}

/** Full queues of small jobs, and a worker is killed every two seconds. `share` 1: 2,000 packs. */
export function killedWorkers(share: number): Scenario {
  return {
    ...ALL_FAULTS,
    workers: share < 1 / 4 ? 3 : 8,
    processes: true,
    repos: Math.ceil(20 * share),
    packs: Math.round(2_000 * share),
    smallPacks: true,
    opening: ["kill"],
    weights: { kill: 1 },
    pausesMs: [share < 1 / 4 ? 1_000 : 2_000],
    steps: "queue",
    lookEvery: 5,
  };
}

/**
 * The database's sessions are terminated and its server restarts; no worker may end by itself.
 * `share` 1: 1,500 packs, and a minute at least.
 */
export function brokenDatabase(share: number): Scenario {
  return {
    ...ALL_FAULTS,
    workers: share < 1 / 4 ? 2 : 4,
    processes: true,
    repos: Math.ceil(10 * share),
    packs: Math.round(1_500 * share),
    smallPacks: true,
    opening: [...Array<Action>(6).fill("terminate"), "restart"],
    weights: { terminate: 100, restart: 1 },
    pausesMs: [250],
    steps: "queue",
    minimumMs: 60_000 * share,
    lookEvery: 20,
  };
}
