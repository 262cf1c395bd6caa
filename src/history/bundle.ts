/**
 * A repo's history as one pack: what a client lacks, or a backup.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { type Branch, defaultBranch, findHead, listBranches } from "../db/history/branches.ts";
import { listTags, type Tag } from "../db/history/commit_names.ts";
import { isAncestor } from "../db/history/graph.ts";
import { HistoryError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { ByteBudget } from "./select/byte_budget.ts";
import { selectHistory } from "./select/select_history.ts";
import { writeHistory } from "./write_history.ts";

/** What to bundle. */
export interface BundleOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store of the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo to read. */
  readonly repoId: string;
  /** The branches to bundle. Default: all branches, and all tags. */
  readonly branches?: readonly string[];
  /** Ids of commits that the reader has, with all their ancestors and objects. Default: none. */
  readonly have?: readonly string[];
  /** Ids of each kind kept in memory; further ones go to the database. Default 20,000. */
  readonly maxIds?: number;
  /** Ends the work with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What is in a bundle. */
export interface BundleCounts {
  /** Commits. */
  readonly commits: number;
  /** Snapshots. */
  readonly snapshots: number;
  /** Objects. */
  readonly objects: number;
  /** Branches. */
  readonly branches: number;
  /** Tags of commits that are in the bundle or that the reader has. */
  readonly tags: number;
}

/** A bundle that is ready to be written. Dispose of it, unless it is written to its end. */
export interface Bundle extends AsyncDisposable {
  /** What is in it. */
  readonly counts: BundleCounts;
  /**
   * Its bytes, once. Each commit and each object is checked against its id before its last byte
   * comes.
   */
  write(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;
}

/**
 * Bundles branches of a repo with all that is reachable from them, as a pack that can be indexed.
 * Memory is bounded, however long the history is.
 *
 * @throws {HistoryError} `history-not-found` if there is no such branch; `record-mismatch`.
 * @throws {ObjectError} If an object is missing or damaged.
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function bundle(options: BundleOptions): Promise<Bundle> {
  const { branches: names, have = [] } = options;
  const branches = await branchesOf(options);
  const heads = branches.map(({ headCommitId }) => headCommitId);
  const tags = await tagsOf(options, names === undefined ? undefined : heads);
  const want = [...heads, ...(names === undefined ? tags.map(({ commitId }) => commitId) : [])];
  const from = { ...options, want, have };
  const selection = await selectHistory(from, new ByteBudget());
  const { commits, snapshots, objects } = selection;
  return {
    counts: {
      commits: commits.size,
      snapshots: snapshots.size,
      objects: objects.size,
      branches: branches.length,
      tags: tags.length,
    },
    async *write() {
      await using _ = selection;
      yield* writeHistory(from, selection, { isWhole: false, branches, tags, isHeadsFirst: true });
    },
    [Symbol.asyncDispose]: () => selection[Symbol.asyncDispose](),
  };
}

/** The branches, the default one first. */
async function branchesOf({ db, repoId, branches }: BundleOptions): Promise<Branch[]> {
  const first = await defaultBranch(db, repoId), found: Branch[] = [];
  if (branches === undefined) {
    for await (const branch of listBranches(db, repoId)) found.push(branch);
  } else {
    for (const name of new Set(branches)) {
      const headCommitId = await findHead(db, repoId, name);
      if (headCommitId === undefined) throw noBranch(name);
      found.push({ name, headCommitId });
    }
  }
  return found.sort((one, other) => Number(other.name === first) - Number(one.name === first));
}

/** All tags, or those of ancestors of the heads. */
async function tagsOf(
  { db, repoId }: BundleOptions,
  heads: readonly string[] | undefined,
): Promise<Tag[]> {
  const found: Tag[] = [];
  for await (const tag of listTags(db, repoId)) {
    const { commitId: ancestorId } = tag;
    const isIn = heads === undefined ||
      await isAncestor(db, { repoId, ancestorId, commitIds: heads });
    if (isIn) found.push(tag);
  }
  return found;
}

function noBranch(name: string): HistoryError {
  const shown = JSON.stringify(name.slice(0, 300));
  return new HistoryError("history-not-found", `Cannot find branch ${shown} in this repo`);
}
