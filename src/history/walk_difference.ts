/**
 * Finds the commits that one side wants and the other does not have.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { GraphRow } from "../db/history/ancestors.ts";
import { HistoryError } from "../errors.ts";
import { distinct } from "../lib/sleep.ts";
import { PriorityQueue } from "../lib/priority_queue.ts";
import { GraphReader } from "./graph_reader.ts";

/** Commits per page. */
const PAGE_COMMITS = 1_000;
/** More names than this are nearly all that a client has: their ancestors are among them. */
const MAX_FOLLOWED = 1_000;
/** The most ancestors of `have` that are read to find where the two sides meet. */
const MAX_HAVE_ROWS = 20_000;

/** Two sides of a fetch. All ids are well-formed. */
export interface Difference {
  readonly db: Database;
  readonly repoId: string;
  /** Commits to have afterwards, with all their ancestors. */
  readonly want: readonly string[];
  /** Commits that are there, with all their ancestors. Ids that the repo does not know are ignored. */
  readonly have: readonly string[];
  readonly signal?: AbortSignal;
}

/** Commits that are missing on the other side. */
export interface DifferencePage {
  /** Children before parents. */
  readonly commits: readonly GraphRow[];
  /** Commits of `have`, and ancestors of them, that these build upon. A commit may come twice. */
  readonly edges: readonly string[];
}

interface Node {
  readonly row: GraphRow;
  isWanted: boolean;
  isThere: boolean;
}

/**
 * Walks from `want` down to what `have` covers, children before parents, in pages.
 *
 * Commits are visited by generation, the highest first: a commit comes up after all its children, so
 * that nothing but the queue must be remembered. Its length is the width of the history, not its
 * length. Where `have` is very long, or far above `want`, ancestors of `have` are not followed: the
 * answer is right, but may hold commits that are there.
 *
 * @throws {HistoryError} `history-not-found` if the repo lacks a wanted commit, or an ancestor of it.
 */
export async function* walkDifference(
  options: Difference,
): AsyncGenerator<DifferencePage, void, undefined> {
  const { db, repoId, want, have, signal } = options;
  const there = await distinct(have);
  // Without `have` the whole history is read.
  const graph = new GraphReader(db, repoId, there.size === 0 ? PAGE_COMMITS : undefined);
  const walk = new Walk(graph, there);
  await walk.start(want, there.size <= MAX_FOLLOWED ? [...there] : []);
  while (!walk.isDone) {
    signal?.throwIfAborted();
    const page = { commits: [] as GraphRow[], edges: [] as string[] };
    while (!walk.isDone && page.commits.length < PAGE_COMMITS) await walk.step(page);
    if (walk.isDone) page.edges.push(...walk.edges());
    yield page;
  }
}

class Walk {
  readonly #graph: GraphReader;
  readonly #there: ReadonlySet<string>;
  readonly #nodes = new Map<string, Node>();
  readonly #queue = new PriorityQueue<Node>(isHigher);
  /** Nodes in the queue that are wanted, and not known to be there. */
  #missing = 0;
  #haveRows = 0;

  constructor(graph: GraphReader, there: ReadonlySet<string>) {
    this.#graph = graph;
    this.#there = there;
  }

  get isDone(): boolean {
    return this.#missing === 0;
  }

  async start(want: readonly string[], have: readonly string[]): Promise<void> {
    const distinct = [...new Set(want)], rows = await this.#graph.read(distinct);
    const found = new Set(rows.map(({ commitId }) => commitId));
    for (const id of distinct) if (!found.has(id)) throw notThere(id);
    for (const row of rows) this.#reach(row, "wanted");
    for (const row of await this.#graph.read(have)) {
      if (row.generation !== null) this.#reach(row, "there");
    }
  }

  /** Visits the commit with the highest generation. */
  async step(page: { commits: GraphRow[]; edges: string[] }): Promise<void> {
    const { row, isWanted, isThere } = this.#queue.pop()!;
    this.#nodes.delete(row.commitId);
    this.#graph.forget(row.commitId);
    if (!isThere) {
      this.#missing--;
      page.commits.push(row);
    } else if (isWanted) page.edges.push(row.commitId);
    if (isThere && this.#haveRows >= MAX_HAVE_ROWS) return;
    const parents = await this.#graph.read(row.parentIds);
    if (!isThere && parents.length < row.parentIds.length) throw notThere(row.commitId);
    if (isThere) this.#haveRows += parents.length;
    for (const parent of parents) this.#reach(parent, isThere ? "there" : "wanted");
  }

  /** The commits left in the queue that the missing ones build upon. */
  *edges(): Generator<string, void, undefined> {
    for (const { row, isWanted } of this.#queue.values()) if (isWanted) yield row.commitId;
  }

  #reach(row: GraphRow, as: "wanted" | "there"): void {
    if (row.generation === null) throw notThere(row.commitId);
    let node = this.#nodes.get(row.commitId);
    if (node === undefined) {
      node = { row, isWanted: false, isThere: false };
      this.#nodes.set(row.commitId, node);
      this.#queue.push(node);
    }
    const wasMissing = node.isWanted && !node.isThere;
    if (as === "wanted") node.isWanted = true;
    if (as === "there" || this.#there.has(row.commitId)) node.isThere = true;
    const isMissing = node.isWanted && !node.isThere;
    this.#missing += Number(isMissing) - Number(wasMissing);
  }
}

function isHigher({ row: one }: Node, { row: other }: Node): boolean {
  if (one.generation !== other.generation) return one.generation! > other.generation!;
  return one.commitId < other.commitId;
}

function notThere(commitId: string): HistoryError {
  return new HistoryError(
    "history-not-found",
    `Cannot send commit ${commitId}: this repo does not have it with all its ancestors`,
  );
}
