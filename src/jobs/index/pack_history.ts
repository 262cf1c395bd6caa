/**
 * The history in a pack that is being indexed: its records are staged with the objects, checked after
 * the proof, and published with them. A branch moves in the same statement, or stays for a reason that
 * the result names.
 *
 * @module
 */

import { limitsOf } from "../../config/config.ts";
import { GhostGuard, type Ghosts, type StagedIds } from "../../db/publish/ghost_guard.ts";
import type { PackHistory as PublishedHistory } from "../../db/publish/publish_pack.ts";
import {
  type GraphRow,
  isWithoutRecords,
  NO_RECORDS,
  type RecordRows,
} from "../../db/publish/record_rows.ts";
import { stageGraph } from "../../db/publish/stage_records.ts";
import { GhostError } from "../../errors.ts";
import type { PackRecords } from "../../lib/records.ts";
import { recordHasher } from "../../hash/record_hash.ts";
import { DeltaVerifier } from "../../stream/mpack/history/delta_verifier.ts";
import type { DecoderHooks } from "../../stream/mpack/mpack_decoder.ts";
import { HistoryCheck, type Problem } from "../history/history_check.ts";
import type { BranchDecision, BranchReport, BranchRequest } from "../history/move_branch.ts";
import type { SeenBranch } from "./begin_push.ts";
import type { HistoryCheckpoint } from "./checkpoint.ts";
import type { IndexContext, IndexJob } from "./context.ts";
import type { IndexPayload } from "./payload.ts";

/** Rows of the graph in one staged batch. */
const GRAPH_ROWS = 5_000;
/** Most missing ids in a refusal. */
const MAX_MISSING = 1_000;
/** Looks at a branch that other pushes move meanwhile; then this push has lost. */
const MAX_DECISIONS = 5;

/** What a job's result says of history. */
export interface HistoryResult {
  readonly branch?: BranchReport;
  readonly records_unverified?: number;
}

/** Follows one reading of a pack. */
export class PackHistory implements AsyncDisposable {
  /** For the decoder. */
  readonly hooks: DecoderHooks;
  readonly #job: IndexJob;
  readonly #context: IndexContext;
  readonly #check: HistoryCheck;
  readonly #deltas: DeltaVerifier;
  /** Only if this job has to know whether all objects are there. */
  #guard: GhostGuard | undefined;
  readonly #isGuarded: boolean;
  #request: BranchRequest | undefined;
  #recordBatches = 0;
  #graphBatches = 0;
  #lastRows: RecordRows = NO_RECORDS;
  #lastGraph: readonly GraphRow[] = [];
  #ghosts: Problem | undefined;
  #decision: BranchDecision | undefined;
  #decisions = 0;
  /** The branch as it was seen; asked for again after that. */
  #seen: SeenBranch | undefined;
  #keepsGuard = true;

  /**
   * @param options.isGuardedElsewhere A hook refuses the pack if an object is missing.
   * @param options.branch What is known of the branch that shall move.
   */
  constructor(
    job: IndexJob,
    context: IndexContext,
    { isGuardedElsewhere, branch: seen }: {
      readonly isGuardedElsewhere: boolean;
      readonly branch: SeenBranch | undefined;
    },
  ) {
    this.#job = job;
    this.#context = context;
    this.#seen = seen;
    this.#check = new HistoryCheck(context.db, job.repoId, seen?.connected);
    const { db, store, config } = context, { repoId } = job;
    const deltas = this.#deltas = new DeltaVerifier({
      limits: limitsOf(config),
      hasher: recordHasher,
      async *load(snapshotId) {
        // Few packs build upon a manifest of the repo.
        const { readManifestPages } = await import("../../history/read_manifest.ts");
        yield* readManifestPages({ db, store, repoId, snapshotId });
      },
    });
    const { branch, strict } = job.payload;
    this.#isGuarded = !isGuardedElsewhere && (branch !== undefined || strict === true);
    this.hooks = {
      snapshot: (record, entries, removed) => deltas.snapshot(record, entries, removed),
      ...(this.#isGuarded && { manifestId: (id: string) => this.#guard!.name(id) }),
    };
  }

  /** Goes on where the pack was opened; `batches` are staged. */
  async continueFrom(batches: number, from: HistoryCheckpoint | undefined): Promise<void> {
    const { db, config: { publishTimeoutMs: deadlineMs } } = this.#context;
    const { repoId, jobId } = this.#job;
    if (this.#isGuarded) {
      const resumed = from?.guard && { from: from.guard };
      this.#guard = new GhostGuard({ db, repoId, deadlineMs, lease: this.#job, ...resumed });
    }
    this.#recordBatches = from?.record_batches ?? 0;
    if (this.#recordBatches > 0) await this.#check.restore(jobId, batches);
  }

  /**
   * Awaited between chunks.
   *
   * @throws {InvalidMpackError} If a delta does not make the manifest that its id names.
   */
  async drain(): Promise<void> {
    await this.#deltas.drain();
    if (this.#guard?.isDue) await this.#guard.flush();
  }

  /**
   * Takes the records of a batch that is to be staged.
   *
   * @returns The rows, and what the checkpoint of this moment has to hold.
   */
  async take(
    records: PackRecords,
  ): Promise<{ readonly rows: RecordRows; readonly checkpoint: HistoryCheckpoint }> {
    // Called before anything is awaited: what the decoder names from here on comes after the checkpoint.
    const flushed = this.#guard?.flush();
    const [rows, guard] = await Promise.all([this.#check.add(records), flushed]);
    if (!isWithoutRecords(rows)) this.#recordBatches++;
    return {
      rows,
      checkpoint: { record_batches: this.#recordBatches, ...(guard && { guard }) },
    };
  }

  /**
   * Takes the last records and compares the whole pack with the repo.
   *
   * @param payload The job's, which may be known only now.
   * @throws {InvalidMpackError} In a strict job for any broken rule; `history-cycle` in all jobs.
   */
  async settle(
    payload: IndexPayload,
    { records, lastIds, staged }: {
      readonly records: PackRecords;
      readonly lastIds: readonly string[];
      readonly staged: StagedIds;
    },
  ): Promise<void> {
    const { branch, head, force, strict: isStrict = false } = payload;
    this.#request = branch === undefined
      ? undefined
      : { name: branch, force: force === true, isStrict, ...(head !== undefined && { head }) };
    this.#lastRows = await this.#check.add(records);
    await this.#check.settle();
    // The graph of a large pack is staged before the publish could ask for this.
    if (staged.batches > 0) await this.#check.settleCut();
    const { problem } = this.#check;
    if (isStrict && problem !== undefined) {
      (await import("../history/move_branch.ts")).refuse(problem);
    }
    if (this.#guard !== undefined && (isStrict || problem === undefined)) {
      this.#guard.hold(lastIds);
      const error = await ghostError(await this.#guard.ghosts({ staged }));
      if (isStrict && error !== undefined) throw error;
      this.#ghosts = error && { code: "ghost-objects", message: error.message };
    }
    await this.decide();
    await this.#layOutGraph(staged.batches);
  }

  /**
   * Looks at the branch as it is now.
   *
   * @throws {InvalidMpackError} In a strict job if the branch cannot move.
   */
  async decide(): Promise<void> {
    const request = this.#request;
    if (request === undefined) return;
    const { decideBranch, refuse } = await import("../history/move_branch.ts");
    const { db } = this.#context, { repoId } = this.#job;
    const problem = this.#decisions++ < MAX_DECISIONS ? this.#ghosts : lostRace(request.name);
    const seen = this.#seen?.name === request.name ? this.#seen : undefined;
    this.#seen = undefined;
    const question = {
      db,
      repoId,
      request,
      check: this.#check,
      ...(problem && { problem }),
    };
    // Only a move is checked once more by the publish. So nothing else is decided by an old look.
    const early = seen && await decideBranch({ ...question, expected: seen.head });
    const decision = early?.move ? early : await decideBranch(question);
    if (request.isStrict && decision.problem !== undefined) refuse(decision.problem);
    this.#decision = decision;
  }

  /** The publish asks to look at the repo's commits that wait for an ancestor first. */
  async settleCut(): Promise<void> {
    await this.#check.settleCut();
    await this.decide();
    await this.#layOutGraph(0);
  }

  /** What the publish needs; undefined if there is nothing to do. */
  get published(): PublishedHistory | undefined {
    const move = this.#decision?.move;
    if (this.#check.isEmpty && move === undefined) return undefined;
    return {
      rows: this.#lastRows,
      graph: this.#lastGraph,
      recordBatches: this.#recordBatches,
      graphBatches: this.#graphBatches,
      sawCut: this.#check.sawCut,
      ...(move && { branch: move }),
    };
  }

  /** What the result says. */
  get result(): HistoryResult {
    const { unverified } = this.#check, branch = this.#decision?.report;
    return { ...(branch && { branch }), ...(unverified > 0 && { records_unverified: unverified }) };
  }

  /** The job has ended: nobody goes on with what the guard has written. */
  ended(): void {
    this.#keepsGuard = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What is left is swept after a day.
    if (!this.#keepsGuard) await this.#guard?.[Symbol.asyncDispose]().catch(() => {});
  }

  /** Stages the graph of a pack whose rows are staged; keeps that of a small one. */
  async #layOutGraph(batches: number): Promise<void> {
    if (batches === 0) {
      this.#lastGraph = [...this.#check.rows(GRAPH_ROWS)].flat();
      return;
    }
    for (const rows of this.#check.rows(GRAPH_ROWS)) {
      await stageGraph(this.#context.db, this.#job, { part: this.#graphBatches++, rows });
    }
  }
}

function lostRace(name: string): Problem {
  return {
    code: "diverged",
    message: `Cannot move branch ${JSON.stringify(name)}: other pushes moved it ` +
      `${MAX_DECISIONS} times meanwhile; pull first`,
  };
}

async function ghostError(ghosts: Ghosts): Promise<GhostError | undefined> {
  if (ghosts.count === 0) return undefined;
  const missing: string[] = [];
  for await (const page of ghosts.pages()) {
    missing.push(...page.slice(0, MAX_MISSING - missing.length));
    if (missing.length >= MAX_MISSING) break;
  }
  return new GhostError(missing, ghosts.count);
}
