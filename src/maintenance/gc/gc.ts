/**
 * Collects what nobody needs any more: rows first, blobs last, so that a crash in between leaves a
 * blob that nothing names, which the next run collects, and never a ref to bytes that are gone.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import {
  cancelJobsOf,
  collectAudits,
  collectPacks,
  collectPacksOf,
  collectRefs,
  collectRepo,
  collectStaged,
  countRepo,
  deletedRepos,
  unnamedBlobs,
  unusedPacks,
} from "../../db/garbage.ts";
import type { NamedBlob } from "../../db/garbage.ts";
import type { Database } from "../../db/client/database.ts";
import {
  isPublishRunning,
  removeStaleTombstones,
  removeTombstones,
  serverTime,
  writeTombstones,
} from "../../db/tombstones.ts";
import { DatabaseError } from "../../errors.ts";
import type { BlobEntry, BlobStore } from "../../stream/store/blob_store.ts";
import { sleep } from "../../lib/sleep.ts";
import { blobNames } from "./blob_names.ts";

const MINUTE_MS = 60_000;
/** Rows that one statement deletes. */
const ROWS = 5_000;
/** Packs or blobs that are doomed together, and so deleted within minutes. */
const GROUP = 200;
/** Deletes under way at once. */
const DELETES = 16;
/** A group not deleted within this time is left to the next run: the doom does not last for ever. */
const GROUP_MS = 5 * MINUTE_MS;
/** Names doomed longer ago are those of a gc that was killed. */
const FORGOTTEN_MS = 15 * MINUTE_MS;
/** How long a group waits for publishes to end. */
const PATIENCE_MS = 2 * MINUTE_MS;
const POLL_MS = 20;

/** What `gc` works with. */
export interface GcOptions {
  /** The database. */
  readonly db: Database;
  /** The store. */
  readonly store: BlobStore;
  /** Where in the store blobs lie. */
  readonly config: Pick<Config, "blobKey" | "objectKey">;
  /** How old a blob, a pack or a deletion must be, in milliseconds. */
  readonly graceMs: number;
  /** Whether to say what would be collected and collect nothing. Default false. */
  readonly isDryRun?: boolean;
  /** Ends the run; what it had begun is whole or not done. */
  readonly signal: AbortSignal;
  /** Told of each repo, pack and blob that is collected. */
  readonly onCollected?: (kind: "repo" | "pack" | "blob", name: string) => void;
}

/** What was collected; snake_case because it is printed as it is. */
export interface GcSummary {
  /** Whether nothing was really removed. */
  readonly dry_run: boolean;
  /** Staged batches of jobs that are not open. */
  readonly staged_batches: number;
  /** Audits that were interrupted a month ago. */
  readonly audits: number;
  /** Deleted repos. */
  readonly repos: number;
  /** Their refs. */
  readonly refs: number;
  /** Rows of packs: of deleted repos, and those that no ref points into. */
  readonly packs: number;
  /** Blobs that nothing named. */
  readonly blobs: number;
  /** Their length together in bytes. */
  readonly blob_bytes: number;
  /** Half-written blobs. */
  readonly half_written: number;
  /** What was left to the next run because a job or a publish was in the way. */
  readonly postponed: number;
  /** Milliseconds it took. */
  readonly elapsed_ms: number;
}

/**
 * Collects what nobody needs. May run beside everything else, and beside another gc.
 *
 * @throws {StoreError | DatabaseError} If a service is unavailable; the next run goes on.
 */
export async function collectGarbage(options: GcOptions): Promise<GcSummary> {
  const run = new Run(options), startedAt = performance.now();
  if (!run.isDryRun) await removeStaleTombstones(options.db, { olderThanMs: FORGOTTEN_MS });
  await run.staged();
  run.sum.audits = await collectAudits(options.db, run.isDryRun);
  await run.repos();
  await run.packs();
  await run.blobs();
  const { store, graceMs, signal } = options;
  const before = new Date(Date.now() - graceMs), { isDryRun } = run;
  run.sum.half_written = await store.sweep?.({ before, isDryRun, signal }) ?? 0;
  return { dry_run: isDryRun, ...run.sum, elapsed_ms: Math.round(performance.now() - startedAt) };
}

class Run {
  readonly isDryRun: boolean;
  readonly sum = {
    staged_batches: 0,
    audits: 0,
    repos: 0,
    refs: 0,
    packs: 0,
    blobs: 0,
    blob_bytes: 0,
    half_written: 0,
    postponed: 0,
  };
  readonly #options: GcOptions;

  constructor(options: GcOptions) {
    this.#options = options;
    this.isDryRun = options.isDryRun ?? false;
  }

  async staged(): Promise<void> {
    const { db, signal } = this.#options, { isDryRun } = this;
    for (;;) {
      signal.throwIfAborted();
      const batches = await collectStaged(db, { isDryRun, limit: ROWS });
      this.sum.staged_batches += batches;
      if (isDryRun || batches < ROWS) return;
    }
  }

  async repos(): Promise<void> {
    const { db, graceMs } = this.#options;
    for (const { repoId, repo } of await deletedRepos(db, { graceMs })) {
      this.#options.signal.throwIfAborted();
      if (this.isDryRun) {
        const { refs, packs } = await countRepo(db, repoId);
        this.#add({ repos: 1, refs, packs });
        this.#collected("repo", repo);
      } else {
        await this.#withTombstones([repoId], async () => {
          if (await this.#repo(repoId)) this.#collected("repo", repo);
          else this.sum.postponed++;
        });
      }
    }
  }

  async #repo(repoId: string): Promise<boolean> {
    const { db, signal } = this.#options;
    if (await cancelJobsOf(db, repoId) > 0) return false;
    for (;;) {
      signal.throwIfAborted();
      const refs = await collectRefs(db, repoId, { limit: ROWS });
      this.sum.refs += refs;
      if (refs < ROWS) break;
    }
    this.sum.packs += await collectPacksOf(db, repoId);
    try {
      await collectRepo(db, repoId);
    } catch (error) {
      // Tables of other programs may point at the repo's row; then it is theirs to delete.
      if (!(error instanceof DatabaseError) || error.retryable) throw error;
      return false;
    }
    this.sum.repos++;
    return true;
  }

  async packs(): Promise<void> {
    const { db, graceMs, signal } = this.#options;
    for (let afterId = 0;;) {
      signal.throwIfAborted();
      const packs = await unusedPacks(db, { graceMs, afterId, limit: ROWS });
      for (let at = 0; at < packs.length; at += GROUP) {
        const group = packs.slice(at, at + GROUP);
        const collect = async (names: readonly string[]) => {
          const free = group.filter(({ blobKey }) => names.includes(blobKey));
          const ids = free.map(({ mpackId }) => mpackId);
          const gone = this.isDryRun ? ids : await collectPacks(db, ids);
          this.sum.packs += gone.length;
          for (const { mpackId, mpackKey } of free) {
            if (gone.includes(mpackId)) this.#collected("pack", mpackKey);
          }
        };
        const names = group.map(({ blobKey }) => blobKey);
        if (this.isDryRun) await collect(names);
        else await this.#withTombstones(names, collect);
      }
      if (packs.length < ROWS) return;
      afterId = packs[packs.length - 1].mpackId;
    }
  }

  async blobs(): Promise<void> {
    const { store, config, graceMs, signal } = this.#options;
    const names = blobNames(config), before = Date.now() - graceMs;
    for (const prefix of names.prefixes) {
      let group: Candidate[] = [];
      for await (const entry of store.list(prefix, { signal })) {
        const blob = names.read(entry.key);
        if (blob === undefined || entry.modifiedAt.getTime() >= before) continue;
        group.push({ entry, blob });
        if (group.length < GROUP) continue;
        await this.#blobs(group);
        group = [];
      }
      await this.#blobs(group);
    }
  }

  async #blobs(group: readonly Candidate[]): Promise<void> {
    const { db } = this.#options;
    if (group.length === 0) return;
    const unnamed = await unnamedBlobs(db, group.map(({ blob }) => blob));
    const found = group.filter(({ entry }) => unnamed.includes(entry.key));
    if (found.length === 0) return;
    if (this.isDryRun) {
      for (const { entry } of found) this.#blobGone(entry);
      return;
    }
    await this.#withTombstones(found.map(({ entry }) => entry.key), async (names) => {
      const free = found.filter(({ entry }) => names.includes(entry.key));
      // What is seen now stays so: whoever would name one of them is refused.
      const still = await unnamedBlobs(db, free.map(({ blob }) => blob));
      await this.#delete(free.filter(({ entry }) => still.includes(entry.key)));
    });
  }

  async #delete(candidates: readonly Candidate[]): Promise<void> {
    const { signal } = this.#options, deadline = performance.now() + GROUP_MS;
    for (let at = 0; at < candidates.length; at += DELETES) {
      signal.throwIfAborted();
      if (performance.now() > deadline) {
        this.sum.postponed += candidates.length - at;
        return;
      }
      const some = candidates.slice(at, at + DELETES);
      await Promise.all(some.map(({ entry }) => this.#deleteUntouched(entry)));
    }
  }

  /** Deletes a blob unless somebody has written it again since it was listed. */
  async #deleteUntouched(listed: BlobEntry): Promise<void> {
    const { store } = this.#options;
    for await (const entry of store.list(listed.key)) {
      if (entry.key !== listed.key) break;
      if (entry.modifiedAt.getTime() !== listed.modifiedAt.getTime()) break;
      await store.delete(listed.key);
      return this.#blobGone(listed);
    }
  }

  /**
   * Dooms names, waits until no publish can be under way that has not noticed, and lets `work` have
   * those that no other gc has doomed.
   */
  async #withTombstones(
    names: readonly string[],
    work: (names: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const { db, signal } = this.#options;
    const ours = await writeTombstones(db, names);
    try {
      const time = await serverTime(db), deadline = performance.now() + PATIENCE_MS;
      while (await isPublishRunning(db, time)) {
        if (performance.now() > deadline) {
          this.sum.postponed += ours.length;
          return;
        }
        await sleep(POLL_MS, signal);
      }
      if (ours.length > 0) await work(ours);
    } finally {
      await removeTombstones(db, ours);
    }
  }

  #blobGone({ key, sizeBytes }: BlobEntry): void {
    this.#add({ blobs: 1, blob_bytes: sizeBytes });
    this.#collected("blob", key);
  }

  #add(more: Partial<Run["sum"]>): void {
    for (const [name, count] of Object.entries(more)) this.sum[name as keyof Run["sum"]] += count;
  }

  #collected(kind: "repo" | "pack" | "blob", name: string): void {
    this.#options.onCollected?.(kind, name);
  }
}

interface Candidate {
  readonly entry: BlobEntry;
  readonly blob: NamedBlob;
}
