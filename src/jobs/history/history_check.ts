/**
 * Checks that the history in a pack is connected: each parent and each snapshot is in the pack or the
 * repo's already. (That each object is, the ghost guard checks.)
 *
 * @module
 */

import { counted } from "../../lib/numbers.ts";
import type { Database } from "../../db/client/database.ts";
import {
  type ConnectedCommit,
  deltaDepths,
  findConnected,
  findCut,
  missingCommits,
  missingSnapshots,
} from "../../db/history/graph.ts";
import { MAX_DELTA_DEPTH } from "../../db/history/snapshots.ts";
import {
  commitRow,
  type GraphRow,
  isWithoutRecords,
  type RecordRows,
  snapshotRow,
  type TagRow,
  tagRow,
} from "../../db/publish/record_rows.ts";
import { readStagedRecords, type StagedRecords } from "../../db/publish/stage_records.ts";
import { InvalidMpackError, type MpackErrorCode } from "../../errors.ts";
import { IdTable } from "../../lib/id_table.ts";
import type { PackRecords } from "../../lib/records.ts";
import { CommitGraph } from "./commit_graph.ts";

/** Ids in one statement; findConnected() returns some dozens of rows for each. */
const PARENTS = 500, IDS = 5_000;
/** Staged batches read in one statement; each has some thousand records, of which the ids are read. */
const BATCHES = 8;
/** Commits of a repo that wait for an ancestor and are looked at again. */
const MAX_CUT = 20_000;

/** A rule that the pack breaks. */
export interface Problem {
  readonly code: MpackErrorCode;
  readonly message: string;
  readonly offsetBytes?: number;
}

/** Holds the ids of a pack's records, some 140 bytes for a commit and its snapshot, and checks them. */
export class HistoryCheck {
  /** Snapshots that no known rule names: they are not recorded. */
  unverified = 0;
  /** The commits. */
  readonly graph = new CommitGraph();
  readonly #db: Database;
  readonly #repoId: string;
  /** Snapshots in the pack, and those that its commits name. */
  readonly #snapshots = new IdTable();
  /** How many deltas lead to each snapshot, plus one; 0 if it is not in the pack. */
  #depths = new Int32Array(64);
  /** Where the record of the first commit that names each snapshot begins. */
  #namedAt = new Float64Array(64);
  readonly #tagged = new IdTable();
  #isEmpty = true;
  #sawCut = false;
  #problems: Problem[] = [];
  readonly #seen: readonly ConnectedCommit[];

  /** With `seen`, what findConnected() has found for one commit, which is the first of them. */
  constructor(db: Database, repoId: string, seen: readonly ConnectedCommit[] = []) {
    this.#db = db;
    this.#repoId = repoId;
    this.#seen = seen;
  }

  /** Whether the pack has no record so far that can be stored. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** Whether the repo's commits that wait for an ancestor count, if the pack has any commits. */
  get sawCut(): boolean {
    return this.#sawCut || this.graph.commits === 0;
  }

  /** The first rule that is broken, after `settle()`. */
  get problem(): Problem | undefined {
    return this.#problems[0];
  }

  /**
   * Notes records, in the order of the pack.
   *
   * @returns The rows to be stored.
   * @throws {InvalidMpackError} `limit-exceeded` if too many deltas lead to a snapshot.
   */
  async add({ commits, snapshots, tags }: PackRecords): Promise<RecordRows> {
    const verified = snapshots.filter(({ isVerifiable }) => isVerifiable);
    this.unverified += snapshots.length - verified.length;
    if (verified.length < snapshots.length && this.#problems.length === 0) {
      const { snapshotId, offsetBytes } = snapshots.find(({ isVerifiable }) => !isVerifiable)!;
      this.#problems.push({
        code: "unverifiable-snapshot",
        message: `Cannot accept the mpack: no known rule makes the id of snapshot ${snapshotId}, ` +
          "which has directories,",
        offsetBytes,
      });
    }
    const commitRows = commits.map(commitRow);
    for (const [i, commit] of commits.entries()) {
      this.graph.addCommit({ ...commit, timeMs: msOf(commitRows[i].committed_time) });
      this.#noteNamed(commit.snapshotId, commit.offsetBytes);
    }
    const depths = await this.#depthsOf(verified);
    const snapshotRows = verified.map((record, i) => {
      this.#note(record.snapshotId, depths[i]);
      return snapshotRow(record, depths[i]);
    });
    const rows = {
      commits: commitRows,
      snapshots: snapshotRows,
      tags: tags.map(tagRow).filter((row): row is TagRow => row !== undefined),
    };
    for (const { commit_id } of rows.tags) this.#tagged.add(commit_id);
    if (!isWithoutRecords(rows)) this.#isEmpty = false;
    return rows;
  }

  /** Notes the records that earlier attempts have staged. */
  async restore(jobId: string, batches: number): Promise<void> {
    for (let firstBatch = 0; firstBatch < batches; firstBatch += BATCHES) {
      const endBatch = Math.min(firstBatch + BATCHES, batches);
      const staged = await readStagedRecords(this.#db, jobId, { firstBatch, endBatch });
      for (const batch of staged) this.#restoreBatch(batch);
    }
  }

  #restoreBatch({ commits, snapshots, tags }: StagedRecords): void {
    for (const { id, parents, snapshot, offset, time } of commits) {
      const timeMs = msOf(time);
      this.graph.addCommit({ commitId: id, parentIds: parents, offsetBytes: offset, timeMs });
      this.#noteNamed(snapshot, offset);
    }
    for (const { id, depth } of snapshots) this.#note(id, depth);
    for (const id of tags) this.#tagged.add(id);
    this.#isEmpty = false;
  }

  /**
   * Compares the whole pack with the repo; `problem` and `graph` are complete afterwards.
   *
   * @throws {InvalidMpackError} `history-cycle`.
   */
  async settle(): Promise<void> {
    if (this.#isEmpty) return;
    await Promise.all([this.#settleCommits(), this.#settleSnapshots(), this.#settleTags()]);
  }

  /**
   * Looks at the repo's commits that wait for an ancestor: the pack may bring it. Few repos have any,
   * so `settle()` does so only where a parent is missing, and the publish asks for the rest.
   *
   * @throws {InvalidMpackError} `history-cycle`.
   */
  async settleCut(): Promise<void> {
    if (this.sawCut) return;
    this.#sawCut = true;
    for (const cut of await findCut(this.#db, this.#repoId, MAX_CUT)) this.graph.addCut(cut);
    this.#problems = this.#problems.filter(({ code }) => code !== "parent-missing");
    await this.#settleCommits();
  }

  /** The rows of the graph in batches. */
  rows(limit: number): Generator<GraphRow[], void, undefined> {
    return this.graph.rows(limit);
  }

  async #settleCommits(): Promise<void> {
    if (this.graph.commits === 0) return;
    // Most packs build upon it.
    if (this.#seen.length > 0 && this.graph.isOutside(this.#seen[0].commitId)) {
      for (const known of this.#seen) this.graph.addKnown(known);
    }
    for (const ids of pages(this.graph.outside(), PARENTS)) {
      for (const known of await findConnected(this.#db, this.#repoId, ids)) {
        this.graph.addKnown(known);
      }
    }
    const cycleAt = await this.graph.number();
    if (cycleAt !== undefined) {
      throw new InvalidMpackError(
        "history-cycle",
        "Cannot accept the mpack: a commit is its own ancestor",
        cycleAt < 0 ? {} : { offsetBytes: cycleAt },
      );
    }
    const missing = this.graph.missingParent();
    if (missing === undefined) return;
    if (!this.#sawCut) return await this.settleCut();
    this.#problems.push({
      code: "parent-missing",
      message:
        `Cannot accept the mpack: the parent ${missing.parentId} of a commit is neither in it ` +
        "nor, with all its ancestors, in the repo; push it, too,",
      offsetBytes: missing.offsetBytes,
    });
  }

  async #settleSnapshots(): Promise<void> {
    for (const ids of pages(this.#outsideSnapshots(), IDS)) {
      const [missing] = await missingSnapshots(this.#db, this.#repoId, ids);
      if (missing === undefined) continue;
      this.#problems.push({
        code: "snapshot-missing",
        message: `Cannot accept the mpack: the snapshot ${missing} of a commit is neither in it ` +
          "nor in the repo; push it, too,",
        offsetBytes: this.#namedAt[this.#snapshots.find(missing)],
      });
      return;
    }
  }

  async #settleTags(): Promise<void> {
    for (const ids of pages(this.#outsideTagged(), IDS)) {
      const [missing] = await missingCommits(this.#db, this.#repoId, ids);
      if (missing === undefined) continue;
      this.#problems.push({
        code: "tagged-commit-missing",
        message: `Cannot accept the mpack: the commit ${missing} that a tag names is neither in ` +
          "it nor in the repo",
      });
      return;
    }
  }

  *#outsideSnapshots(): Generator<string, void, undefined> {
    for (let i = 0; i < this.#snapshots.size; i++) {
      if ((this.#depths[i] ?? 0) === 0) yield this.#snapshots.id(i);
    }
  }

  *#outsideTagged(): Generator<string, void, undefined> {
    for (let i = 0; i < this.#tagged.size; i++) {
      const id = this.#tagged.id(i);
      if (!this.graph.has(id)) yield id;
    }
  }

  #note(snapshotId: string, depth: number): void {
    const i = this.#number(snapshotId);
    if (this.#depths[i] === 0) this.#depths[i] = depth + 1;
  }

  #noteNamed(snapshotId: string, offsetBytes: number): void {
    const size = this.#snapshots.size, i = this.#number(snapshotId);
    if (i === size) this.#namedAt[i] = offsetBytes;
  }

  /** The number of a snapshot in the lists. */
  #number(snapshotId: string): number {
    const i = this.#snapshots.add(snapshotId);
    if (i < this.#depths.length) return i;
    const length = Math.ceil(i * 1.5) + 64, depths = this.#depths, namedAt = this.#namedAt;
    this.#depths = new Int32Array(length);
    this.#depths.set(depths);
    this.#namedAt = new Float64Array(length);
    this.#namedAt.set(namedAt);
    return i;
  }

  /** How many deltas lead to each of these snapshots. A base comes before its deltas. */
  async #depthsOf(snapshots: PackRecords["snapshots"]): Promise<number[]> {
    const inBatch = new Map<string, number>();
    const bases = new Set<string>();
    for (const { snapshotId, parentSnapshotId: base } of snapshots) {
      if (base !== null && this.#depthInPack(base) === undefined && !inBatch.has(base)) {
        bases.add(base);
      }
      inBatch.set(snapshotId, 0);
    }
    const known = bases.size === 0
      ? new Map<string, number>()
      : await deltaDepths(this.#db, this.#repoId, [...bases]);
    inBatch.clear();
    return snapshots.map(({ snapshotId, parentSnapshotId: base, offsetBytes }) => {
      const depth = base === null
        ? 0
        : (this.#depthInPack(base) ?? inBatch.get(base) ?? known.get(base) ?? 0) + 1;
      if (depth > MAX_DELTA_DEPTH) {
        const message =
          `Cannot accept snapshot ${snapshotId}: ${
            counted(depth, "delta leads", "deltas lead")
          } to it, ` +
          `${MAX_DELTA_DEPTH} may; push it with its whole manifest, or repack the repo first,`;
        throw new InvalidMpackError("limit-exceeded", message, { offsetBytes });
      }
      inBatch.set(snapshotId, depth);
      return depth;
    });
  }

  #depthInPack(snapshotId: string): number | undefined {
    const i = this.#snapshots.find(snapshotId), depth = i < 0 ? 0 : this.#depths[i] ?? 0;
    return depth === 0 ? undefined : depth - 1;
  }
}

function* pages(ids: Iterable<string>, size: number): Generator<string[], void, undefined> {
  let page: string[] = [];
  for (const id of ids) {
    page.push(id);
    if (page.length < size) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

function msOf(time: string | null): number | null {
  return time === null ? null : Date.parse(time);
}
