/**
 * Keeps publishes away from names while gc decides about them.
 *
 * @module
 */

import {
  isPublishRunning,
  removeTombstones,
  serverTime,
  writeTombstones,
} from "../../db/tombstones.ts";
import { sleep } from "../../lib/sleep.ts";
import type { GcRun } from "./gc_run.ts";

/** How long to wait for running publishes to end. */
const WAIT_MS = 2 * 60_000;
const POLL_MS = 20;

/**
 * Calls `work` with those names that no other gc works on. No publish can point at them meanwhile:
 *
 * 1. Write tombstones. A publish that starts later refuses these names.
 * 2. Wait for the publishes that started earlier.
 * 3. Call `work`.
 * 4. Remove the tombstones.
 *
 * If the publishes take too long, the names are left to the next run.
 */
export async function withTombstones(
  run: GcRun,
  names: readonly string[],
  work: (names: readonly string[]) => Promise<void>,
): Promise<void> {
  const { db } = run.options;
  const ours = await writeTombstones(db, names);
  try {
    if (!await waitForPublishes(run)) run.add({ postponed: ours.length });
    else if (ours.length > 0) await work(ours);
  } finally {
    await removeTombstones(db, ours);
  }
}

/** Waits until all publishes that began before now have ended; returns false if they take too long. */
export async function waitForPublishes({ options: { db, signal } }: GcRun): Promise<boolean> {
  const time = await serverTime(db), deadline = performance.now() + WAIT_MS;
  while (await isPublishRunning(db, time)) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS, signal);
  }
  return true;
}
