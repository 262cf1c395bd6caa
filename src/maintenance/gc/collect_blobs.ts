/**
 * Deletes blobs that no row needs.
 *
 * @module
 */

import { type NamedBlob, unnamedBlobs } from "../../db/garbage.ts";
import { ConfigError } from "../../errors.ts";
import { counted } from "../../lib/numbers.ts";
import type { BlobEntry } from "../../stream/store/blob_store.ts";
import { blobNames } from "./blob_names.ts";
import type { GcRun } from "./gc_run.ts";
import { withTombstones } from "./tombstone_lock.ts";

/** Blobs per set of tombstones: few, so that the tombstones live for minutes only. */
const GROUP = 200;
const CONCURRENT_DELETES = 16;
/** The rest of a group that takes longer is left to the next run: tombstones expire. */
const GROUP_TIMEOUT_MS = 5 * 60_000;

/** A blob older than the grace time, and what its key names. */
interface Candidate {
  readonly entry: BlobEntry;
  readonly blob: NamedBlob;
}

/**
 * Deletes the blobs that no row needs.
 *
 * @throws {ConfigError} If they are more than `maxPercent` of all bytes. Then none is deleted.
 */
export async function collectBlobs(run: GcRun): Promise<void> {
  if (run.isDryRun || run.options.maxPercent !== undefined) await measure(run);
  if (run.isDryRun) return;
  for await (const group of candidates(run)) {
    const { garbage } = await unneeded(run, group);
    if (garbage.length > 0) await deleteGroup(run, garbage);
  }
}

/** Adds up the garbage and the whole store before anything is deleted. */
async function measure(run: GcRun): Promise<void> {
  const { isDryRun, options: { store, maxPercent = 100 } } = run;
  let blobs = 0, bytes = 0;
  for await (const group of candidates(run, (entry) => run.add({ store_bytes: entry.sizeBytes }))) {
    const { garbage, unknown } = await unneeded(run, group);
    run.add({ unknown_blobs: unknown });
    for (const { entry } of garbage) {
      blobs++;
      bytes += entry.sizeBytes;
      if (isDryRun) await report(run, entry);
    }
  }
  const percent = 100 * bytes / run.sum.store_bytes;
  if (isDryRun || !(percent > maxPercent)) return;
  throw new ConfigError(
    `Cannot delete ${counted(blobs, "blob")} from ${store.url}: ${
      blobs === 1 ? "it is" : "they are"
    } ${percent.toFixed(1)}% of its bytes, ` +
      `more than ${maxPercent}%. See "mpackd gc --dry-run". If this is right, use --force`,
  );
}

/** Lists the store's old blobs of ours, in groups. Calls `onEntry` for young ones, too. */
async function* candidates(
  run: GcRun,
  onEntry?: (entry: BlobEntry) => void,
): AsyncGenerator<Candidate[]> {
  const { store, config, graceMs, signal } = run.options;
  const names = blobNames(config), before = Date.now() - graceMs;
  let seen = 0;
  for (const prefix of names.prefixes) {
    let group: Candidate[] = [];
    for await (const entry of store.list(prefix, { signal })) {
      const blob = names.read(entry.key);
      if (blob === undefined) continue;
      onEntry?.(entry);
      if (++seen % GROUP === 0) run.step(`blobs, ${counted(seen, "blob")} looked at`);
      if (entry.modifiedAt.getTime() >= before) continue;
      group.push({ entry, blob });
      if (group.length < GROUP) continue;
      yield group;
      group = [];
    }
    if (group.length > 0) yield group;
  }
}

/** The blobs that no row needs, and the number of those whose repo the database does not know. */
async function unneeded(
  run: GcRun,
  group: readonly Candidate[],
): Promise<{ garbage: Candidate[]; unknown: number }> {
  const unnamed = await unnamedBlobs(run.options.db, group.map(({ blob }) => blob));
  const keys = new Set(unnamed.filter((blob) => blob.isRepoKnown).map(({ key }) => key));
  const garbage = group.filter(({ entry }) => keys.has(entry.key));
  return { garbage, unknown: unnamed.length - keys.size };
}

async function deleteGroup(run: GcRun, garbage: readonly Candidate[]): Promise<void> {
  await withTombstones(run, garbage.map(({ entry }) => entry.key), async (keys) => {
    // Ask again: now no publish can start to need one of them.
    const free = garbage.filter(({ entry }) => keys.includes(entry.key));
    await deleteAll(run, (await unneeded(run, free)).garbage);
  });
}

async function deleteAll(run: GcRun, garbage: readonly Candidate[]): Promise<void> {
  const { signal } = run.options, deadline = performance.now() + GROUP_TIMEOUT_MS;
  for (let at = 0; at < garbage.length; at += CONCURRENT_DELETES) {
    signal.throwIfAborted();
    if (performance.now() > deadline) return run.add({ postponed: garbage.length - at });
    const some = garbage.slice(at, at + CONCURRENT_DELETES);
    await Promise.all(some.map(({ entry }) => deleteUnchanged(run, entry)));
  }
}

/** Deletes a blob unless it was written again since it was listed. */
async function deleteUnchanged(run: GcRun, listed: BlobEntry): Promise<void> {
  const { store } = run.options;
  for await (const entry of store.list(listed.key)) {
    if (entry.key !== listed.key) return;
    if (entry.modifiedAt.getTime() !== listed.modifiedAt.getTime()) return;
    await store.delete(listed.key);
    return await report(run, listed);
  }
}

async function report(run: GcRun, { key, sizeBytes }: BlobEntry): Promise<void> {
  run.add({ blobs: 1, blob_bytes: sizeBytes });
  await run.report("blob", key);
}
