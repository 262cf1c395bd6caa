/**
 * What a schedule can run: a task becomes a job of the queue, with attempts, logs and a result like
 * any other.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";

/** The tasks by name, with the type of their jobs. */
export const TASKS = {
  gc: "mpackd.gc",
  audit: "mpackd.audit",
  purge: "mpackd.purge",
  repack: "mpackd.repack",
} as const;

/** The name of a task. */
export type TaskName = keyof typeof TASKS;

/**
 * The repo id of jobs that are about no repo. Other programs make repo ids of other forms, and no
 * repo can be created with it.
 */
export const NO_REPO = "mpackd:maintenance";

/** How a task is to be run; what is left out has its default. */
export interface TaskOptions {
  /** `audit`: the percentage of packs to draw, above 0, up to 100. Default: all. */
  readonly sample_percent?: number;
  /** `gc`: the least age of garbage, in milliseconds. Default: `MPACK_GC_GRACE_MS`. */
  readonly grace_ms?: number;
  /** `repack`: only repos with at least so many mpacks. Default 20. */
  readonly min_packs?: number;
  /** `purge`: how long ago a job must have ended, in milliseconds. Default: 30 days. */
  readonly older_than_ms?: number;
}

/**
 * Reads the name of a task.
 *
 * @throws {ConfigError} If it is none.
 */
export function readTask(text: string): TaskName {
  if (Object.hasOwn(TASKS, text)) return text as TaskName;
  throw new ConfigError(
    `Cannot schedule ${text}: it is none of ${Object.keys(TASKS).join(", ")}`,
  );
}
