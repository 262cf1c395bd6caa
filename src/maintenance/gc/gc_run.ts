/**
 * What all steps of one garbage collection share: the options and the counts.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";

/** The kinds of things that are collected one by one. */
export type Collected = "repo" | "mpack" | "blob";

/** How to collect garbage. */
export interface GcOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /**
   * The other databases of the same catalog: its shards, and the catalog. Without them, uploads in
   * parts that were given up are left in a store that shards share.
   */
  readonly others?: readonly Database[];
  /** The store that belongs to this database. */
  readonly store: BlobStore;
  /** The templates of blob keys. Blobs with other keys are never touched. */
  readonly config: Pick<Config, "blobKey" | "objectKey">;
  /** The least age of a blob, an mpack or a deleted repo, in milliseconds. */
  readonly graceMs: number;
  /**
   * Refuse to delete blobs that are more than this percentage of all bytes. Default 100: any number.
   */
  readonly maxPercent?: number;
  /** Whether to report what would be collected and collect nothing. Default false. */
  readonly isDryRun?: boolean;
  /** Ends the run. Each step is either complete or not done. */
  readonly signal: AbortSignal;
  /** Called for each repo, mpack and blob that is collected, and waited for. */
  readonly onCollected?: (kind: Collected, name: string) => unknown;
  /** Called with what is being done now, for people. */
  readonly onStep?: (step: string) => void;
}

/** What was collected. snake_case, because it is printed as JSON. */
export interface GcSummary {
  /** Whether this was a dry run, which removes nothing. */
  readonly dry_run: boolean;
  /** Staged batches of jobs that are neither pending nor running. */
  readonly staged_batches: number;
  /** Audits that were interrupted more than 30 days ago. */
  readonly audits: number;
  /** Deleted repos. */
  readonly repos: number;
  /** Refs of deleted repos. */
  readonly refs: number;
  /** Commits that no branch or tag reaches. */
  readonly commits: number;
  /** Snapshots of such commits alone. */
  readonly snapshots: number;
  /** Refs to objects that only such snapshots name, or none. */
  readonly history_refs: number;
  /** Rows of mpacks of deleted repos, and of mpacks that no ref points into. */
  readonly mpacks: number;
  /** Blobs that no row needs. */
  readonly blobs: number;
  /** Total length of these blobs in bytes. */
  readonly blob_bytes: number;
  /** Blobs of repos that this database has never known. They are left alone. */
  readonly unknown_blobs: number;
  /** Length of all blobs in the store in bytes. 0 if it was not needed. */
  readonly store_bytes: number;
  /** Half-written blobs. */
  readonly half_written: number;
  /** Items left to the next run, because a job or a publish was in the way. */
  readonly postponed: number;
  /** Duration in milliseconds. */
  readonly elapsed_ms: number;
}

type Counts = { -readonly [K in Exclude<keyof GcSummary, "dry_run" | "elapsed_ms">]: number };

/** One garbage collection. */
export class GcRun {
  readonly options: GcOptions;
  readonly isDryRun: boolean;
  readonly sum: Counts = {
    staged_batches: 0,
    audits: 0,
    repos: 0,
    refs: 0,
    commits: 0,
    snapshots: 0,
    history_refs: 0,
    mpacks: 0,
    blobs: 0,
    blob_bytes: 0,
    unknown_blobs: 0,
    store_bytes: 0,
    half_written: 0,
    postponed: 0,
  };

  constructor(options: GcOptions) {
    this.options = options;
    this.isDryRun = options.isDryRun ?? false;
  }

  add(more: Partial<Counts>): void {
    for (const [name, count] of Object.entries(more)) this.sum[name as keyof Counts] += count;
  }

  step(step: string): void {
    this.options.onStep?.(step);
  }

  async report(kind: Collected, name: string): Promise<void> {
    await this.options.onCollected?.(kind, name);
  }
}
