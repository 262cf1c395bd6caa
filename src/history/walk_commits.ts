/**
 * Lists a history, the newest commits first.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { GraphRow } from "../db/history/ancestors.ts";
import { type CommitText, readCommitTexts } from "../db/history/commit_texts.ts";
import { HistoryError } from "../errors.ts";
import { PriorityQueue } from "../lib/priority_queue.ts";
import { GraphReader } from "./graph_reader.ts";

const PAGE_COMMITS = 100;

/** Where to begin, and how far to go. */
export interface WalkCommitsOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** The commit to begin with, or several: `next` of an earlier page, for what comes after it. */
  readonly from: string | readonly string[];
  /** Commits per page, 1 to 1,000. Default 100. */
  readonly pageCommits?: number;
  /** Ends the walk with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** One commit of a list. */
export interface ListedCommit {
  /** Its id as it was pushed. */
  readonly commitId: string;
  /** No parent, one, or two for a merge. */
  readonly parentIds: readonly string[];
  /** The snapshot: see `readManifest()`. */
  readonly snapshotId: string;
  /** Who made it; may be empty. */
  readonly author: string;
  /** When it was made, as its client wrote it. */
  readonly committedAt: string;
  /** The first 65,536 characters of its message; `readCommit()` has all of it. */
  readonly message: string;
}

/** Some commits of a history. */
export interface CommitPage {
  /** Children before parents. */
  readonly commits: readonly ListedCommit[];
  /** The commits to go on from, of which all others can be reached; empty at the end. */
  readonly next: readonly string[];
}

/**
 * Lists a commit and its ancestors, in pages: the newest first, but children always before their
 * parents. A page is read when it is asked for. Memory grows with the width of the history, not with
 * its length.
 *
 * @throws {HistoryError} `history-not-found` if the repo does not have a commit to begin with.
 * @throws {DatabaseError} If the database is unavailable.
 */
export async function* walkCommits(
  options: WalkCommitsOptions,
): AsyncGenerator<CommitPage, void, undefined> {
  const { db, repoId, from, pageCommits = PAGE_COMMITS, signal } = options;
  const walk = new Walk(new GraphReader(db, repoId));
  await walk.start(typeof from === "string" ? [from] : from);
  do {
    signal?.throwIfAborted();
    const rows: GraphRow[] = [];
    while (!walk.isDone && rows.length < pageCommits) rows.push(await walk.step());
    const texts = await readCommitTexts(db, repoId, rows.map(({ commitId }) => commitId));
    const byId = new Map(texts.map((text) => [text.commitId, text]));
    yield { commits: rows.map((row) => listed(row, byId.get(row.commitId))), next: walk.next() };
  } while (!walk.isDone);
}

function listed({ commitId, parentIds }: GraphRow, text: CommitText | undefined): ListedCommit {
  if (text !== undefined) return { ...text, parentIds };
  return { commitId, parentIds, snapshotId: "", author: "", committedAt: "", message: "" };
}

/** Takes commits out of a queue by an order in which each one comes after all its children. */
class Walk {
  readonly #graph: GraphReader;
  readonly #queued = new Set<string>();
  readonly #queue = new PriorityQueue<GraphRow>(isBefore);
  /** Commits with a missing ancestor are in no sure order, so that they may be reached too late. */
  readonly #seen = new Set<string>();

  constructor(graph: GraphReader) {
    this.#graph = graph;
  }

  get isDone(): boolean {
    return this.#queue.size === 0;
  }

  async start(from: readonly string[]): Promise<void> {
    const rows = await this.#graph.read(from);
    const found = new Set(rows.map(({ commitId }) => commitId));
    for (const id of from) if (!found.has(id)) throw notFound(id);
    this.#reach(rows);
  }

  async step(): Promise<GraphRow> {
    const row = this.#queue.pop()!;
    this.#queued.delete(row.commitId);
    this.#graph.forget(row.commitId);
    this.#reach(await this.#graph.read(row.parentIds));
    return row;
  }

  next(): string[] {
    return Array.from(this.#queue.values(), ({ commitId }) => commitId);
  }

  #reach(rows: readonly GraphRow[]): void {
    for (const row of rows) {
      const { commitId, sortTime } = row;
      if (this.#queued.has(commitId) || this.#seen.has(commitId)) continue;
      if (sortTime === null) this.#seen.add(commitId);
      this.#queued.add(commitId);
      this.#queue.push(row);
    }
  }
}

/** What has a missing ancestor builds upon nothing that has one as its child. */
function isBefore(one: GraphRow, other: GraphRow): boolean {
  const a = one.sortTime ?? Infinity, b = other.sortTime ?? Infinity;
  if (a !== b) return a > b;
  if (one.timeMs !== other.timeMs) return (one.timeMs ?? 0) > (other.timeMs ?? 0);
  return one.commitId < other.commitId;
}

function notFound(commitId: string): HistoryError {
  return new HistoryError("history-not-found", `Cannot find commit ${commitId} in this repo`);
}
