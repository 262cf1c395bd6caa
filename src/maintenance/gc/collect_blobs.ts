/**
 * Deletes blobs that no row needs.
 *
 * @module
 */

import { type NamedBlob, unnamedBlobs } from "../../db/garbage.ts";
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

/** Deletes the blobs that no row needs. */
export async function collectBlobs(run: GcRun): Promise<void> {
  for await (const group of candidates(run)) {
    const garbage = await unneeded(run, group);
    if (garbage.length === 0) continue;
    if (run.isDryRun) { for (const { entry } of garbage) await report(run, entry); }
    else await deleteGroup(run, garbage);
  }
}

/** Lists the store's old blobs of ours, in groups. */
async function* candidates(run: GcRun): AsyncGenerator<Candidate[]> {
  const { store, config, graceMs, signal } = run.options;
  const names = blobNames(config), before = Date.now() - graceMs;
  for (const prefix of names.prefixes) {
    let group: Candidate[] = [];
    for await (const entry of store.list(prefix, { signal })) {
      const blob = names.read(entry.key);
      if (blob === undefined || entry.modifiedAt.getTime() >= before) continue;
      group.push({ entry, blob });
      if (group.length < GROUP) continue;
      yield group;
      group = [];
    }
    if (group.length > 0) yield group;
  }
}

async function unneeded(run: GcRun, group: readonly Candidate[]): Promise<Candidate[]> {
  const keys = await unnamedBlobs(run.options.db, group.map(({ blob }) => blob));
  return group.filter(({ entry }) => keys.includes(entry.key));
}

async function deleteGroup(run: GcRun, garbage: readonly Candidate[]): Promise<void> {
  await withTombstones(run, garbage.map(({ entry }) => entry.key), async (keys) => {
    // Ask again: now no publish can start to need one of them.
    const free = garbage.filter(({ entry }) => keys.includes(entry.key));
    await deleteAll(run, await unneeded(run, free));
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
