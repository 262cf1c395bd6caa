/**
 * Moves one repo to another shard: its rows, not its blobs.
 *
 * The repo is held where it is: its pushes wait, its readers do not. Its rows are copied in pages and
 * compared, one statement of the catalog turns it over, and then the old rows are deleted. Only when
 * all are there does the new shard know the repo: until then its gc leaves the blobs alone. The old
 * shard forgets the repo before its rows, for the same reason.
 *
 * Each step does nothing that is done already, so the same command goes on after an interruption.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { copyQuotas } from "../../db/quotas/copy_quotas.ts";
import type { Repo } from "../../db/repos.ts";
import { copyRepo, findShard } from "../../db/shards/catalog.ts";
import { putJobsBack } from "../../db/shards/move_target.ts";
import {
  AWAITING_TABLES,
  countRunningOf,
  dropHold,
  HELD_TABLES,
  heldTables,
  holdRepoToMove,
  holdTable,
  letRepoGo,
  pauseRepo,
  prepareHold,
  releaseTable,
  resumeRepo,
  webhooksOf,
} from "../../db/shards/repo_hold.ts";
import {
  endRepoMove,
  findRepoMove,
  flipRepo,
  notePause,
  type RepoMove,
  takeRepoMove,
  takeToAbort,
} from "../../db/shards/repo_moves.ts";
import {
  deleteRepoPage,
  deleteRepoRest,
  deleteRepoRow,
  deleteStagedOf,
  forgetMovedAway,
  hasRepoRows,
  isSplitting,
  makeDurable,
  noteMovedAway,
  type Page,
  readBlobKeys,
  readRepoPage,
  readRepoRest,
  readSharedPage,
  recountOwner,
  REPO_TABLES,
  type RepoTable,
  setTenant,
  sumRepoTable,
  writeBlobKeys,
  writeRepoPage,
  writeRepoRest,
} from "../../db/shards/repo_rows.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import { isPublishRunning, serverTime } from "../../db/tombstones.ts";
import { ConfigError, DatabaseError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import { ifUnlocked } from "./move_back.ts";
import type { MoveOptions } from "./move_options.ts";
import { retryStep } from "./retry_step.ts";

const POLL_MS = 50;
/** A gc holds a repo for seconds, and a table's lock is asked for in short turns. */
const HOLD_MS = 2 * 60_000;
const PATIENCE_MS = 60_000;

/** How far a repo's move is, for people. */
export interface RepoMoveProgress {
  readonly step: "hold" | "copy" | "compare" | "flip" | "settle" | "remove" | "abort";
  readonly table?: string;
  /** Rows so far. */
  readonly rows?: number;
}

/** How to move a repo. */
export interface MoveRepoOptions
  extends Pick<MoveOptions, "catalog" | "connect" | "completeUrl" | "signal"> {
  readonly repo: Pick<Repo, "repoId" | "owner" | "slug">;
  /** The shard's name, or `catalog`. */
  readonly to: string;
  /** How long running jobs of the repo may go on before they are put back, in milliseconds. */
  readonly waitMs: number;
  /** How long readers that began before may read the old rows, in milliseconds. */
  readonly graceMs: number;
  /** Whether the settings limit every owner. */
  readonly hasOwnerLimit: boolean;
  /** Whether only to look whether it can be moved. Default false. */
  readonly isDryRun?: boolean;
  readonly onProgress?: (progress: RepoMoveProgress) => void | Promise<void>;
}

/** What a repo's move has done. snake_case, because it is printed as JSON. */
export interface RepoMoveSummary {
  readonly repo_id: string;
  readonly from: string;
  readonly to: string;
  /** False if the repo was there already. */
  readonly moved: boolean;
  readonly dry_run: boolean;
  readonly rows: number;
  readonly elapsed_ms: number;
}

/**
 * Moves a repo, or goes on with its move.
 *
 * @throws {ConfigError} If it cannot be moved; the message has the next step.
 * @throws {DatabaseError} If a server does not answer, or both sides are not equal.
 */
export async function moveRepo(options: MoveRepoOptions): Promise<RepoMoveSummary> {
  const { catalog, repo: { repoId }, to } = options, startedAt = performance.now();
  const target = to === CATALOG ? null : to, home = await homeOf(catalog, repoId);
  const open = await findRepoMove(catalog, repoId);
  let rows = 0;
  const summary = (from: string | null, moved: boolean): RepoMoveSummary => ({
    repo_id: repoId,
    from: from ?? CATALOG,
    to,
    moved,
    dry_run: options.isDryRun ?? false,
    rows,
    elapsed_ms: Math.round(performance.now() - startedAt),
  });
  if (open === undefined && home === target) return summary(home, false);
  if (open === undefined) {
    await refuseOtherStore(options, home, target);
    await refuseSplit(options, target);
  }
  if (options.isDryRun) {
    // Both sides have to be there.
    await using _both = await openBoth(options, { from: home, to: target });
    return summary(open === undefined ? home : open.from, false);
  }
  const move = await takeRepoMove(catalog, { repoId, from: home, to: target });
  await using both = await openBoth(options, move);
  const repoMove = new OpenRepoMove(options, both, move);
  if (move.step === "copying") {
    if (open === undefined && await hasRepoRows(both.target, repoId)) {
      await endRepoMove(catalog, move);
      throw new ConfigError(
        `Cannot move the repo to ${to}: rows of it are there already, though it does not live there`,
      );
    }
    rows = await repoMove.copy();
  }
  await repoMove.settle();
  return summary(move.from, true);
}

/**
 * Undoes a move that has not turned the repo over.
 *
 * @throws {ConfigError} If there is none.
 */
export async function abortRepoMove(
  options: Omit<MoveRepoOptions, "to" | "waitMs" | "graceMs" | "hasOwnerLimit">,
): Promise<void> {
  const move = await takeToAbort(options.catalog, options.repo.repoId);
  await using both = await openBoth(options, move);
  await new OpenRepoMove(
    { ...options, to: "", waitMs: 0, graceMs: 0, hasOwnerLimit: false },
    both,
    move,
  ).goBack();
}

async function homeOf(catalog: Database, repoId: string): Promise<string | null> {
  const [row] = await catalog.query<{ shard: string | null }>("find a repo's shard")`
    select shard from musehub_repos where repo_id = ${repoId}`;
  return row?.shard ?? null;
}

async function refuseSplit(
  { catalog, repo, to, hasOwnerLimit }: MoveRepoOptions,
  target: string | null,
): Promise<void> {
  const { repoId, owner } = repo;
  if (!await isSplitting(catalog, { repoId, to: target, hasDefault: hasOwnerLimit })) return;
  throw new ConfigError(
    `Cannot move the repo to ${to}: its owner ${owner} has a limit for all repos together, which is ` +
      "exact only while they live in one shard; remove the limit, move all of them, set it again",
  );
}

/** Blobs stay where they are, so both have to read the same store. */
async function refuseOtherStore(
  { catalog, to }: MoveRepoOptions,
  home: string | null,
  target: string | null,
): Promise<void> {
  const storeOf = async (name: string | null) =>
    name === null ? null : (await findShard(catalog, name))?.storeUrl ?? null;
  if (await storeOf(home) === await storeOf(target)) return;
  throw new ConfigError(
    `Cannot move the repo from ${
      home ?? CATALOG
    } to ${to}: they have different stores, and blobs do ` +
      "not move; clone it there instead",
  );
}

interface Both extends AsyncDisposable {
  readonly source: Database;
  readonly target: Database;
}

async function openBoth(
  { catalog, connect, completeUrl }: Pick<MoveOptions, "catalog" | "connect" | "completeUrl">,
  { from, to }: Pick<RepoMove, "from" | "to">,
): Promise<Both> {
  const opened: Database[] = [];
  const open = async (name: string | null) => {
    if (name === null) return catalog;
    const shard = await findShard(catalog, name);
    if (shard === undefined) {
      throw new ConfigError(`Cannot find shard ${name}: "mpackd shard list" shows all`);
    }
    const db = connect(completeUrl(shard.url));
    opened.push(db);
    return db;
  };
  return {
    source: await open(from),
    target: await open(to),
    [Symbol.asyncDispose]: async () => void await Promise.all(opened.map((db) => db.close())),
  };
}

class OpenRepoMove {
  readonly #options: MoveRepoOptions;
  readonly #source: Database;
  readonly #target: Database;
  #move: RepoMove;

  constructor(options: MoveRepoOptions, { source, target }: Both, move: RepoMove) {
    this.#options = options;
    this.#source = source;
    this.#target = target;
    this.#move = move;
  }

  /** The catalog's queue is every program's: its jobs stay, and open ones are forwarded. */
  get #tables(): readonly RepoTable[] {
    return this.#move.from === null
      ? REPO_TABLES.filter(({ key }) => key !== "job_id")
      : REPO_TABLES;
  }

  /** Holds the repo, makes the new rows, and turns the repo over. Returns the rows that moved. */
  async copy(): Promise<number> {
    const { catalog, repo } = this.#options, { repoId } = repo;
    await this.#retry("hold", () => this.#hold());
    for (const table of this.#tables) {
      await this.#retry("copy", () => this.#copyTable(table));
    }
    await this.#retry("copy", async () => {
      for (let after = "";;) {
        const page = await readBlobKeys(this.#source, { repoId, after });
        if (page === undefined) break;
        await writeBlobKeys(this.#target, repoId, page);
        after = page.last;
      }
      if (this.#move.to !== null) {
        await copyRepo(catalog, this.#target, repoId);
        await copyQuotas(catalog, this.#target, repo);
        await setTenant(this.#target, repo, this.#move.moveId);
      }
      const rest = await readRepoRest(this.#source, repoId);
      const isPaused = rest.is_paused && !this.#move.madePause;
      await writeRepoRest(this.#target, repoId, { rest, isPaused });
    });
    let rows = 0;
    await this.#retry("compare", async () => {
      rows = 0;
      for (const table of this.#tables) rows += await this.#compare(table);
    });
    await this.#retry("flip", async () => {
      await makeDurable(this.#target);
      const found = await findRepoMove(catalog, repoId);
      // The answer of an earlier try may have been lost.
      const isFlipped = found?.runId === this.#move.runId && found.step === "removing";
      this.#move = isFlipped ? found : await flipRepo(catalog, this.#move);
    });
    return rows;
  }

  /** Lets the repo be used where it lives now, and deletes the old rows. */
  async settle(): Promise<void> {
    const { catalog, repo: { repoId, owner }, graceMs, signal } = this.#options;
    const { moveId, from, to } = this.#move, source = this.#source;
    await this.#retry("settle", async () => {
      await this.#releaseTables(this.#target);
      await forgetMovedAway(this.#target, repoId);
      await letRepoGo(this.#target, repoId, moveId);
      // It may have been edited or deleted meanwhile.
      if (to !== null) await copyRepo(catalog, this.#target, repoId);
      await sleep(graceMs, signal);
    });
    await this.#retry("remove", async () => {
      await noteMovedAway(source, repoId);
      if (from !== null) await deleteRepoRow(source, repoId);
      await this.#deleteRows(source);
      await deleteRepoRest(source, repoId, { isCatalog: from === null });
      await recountOwner(source, owner);
      await this.#releaseTables(source);
      await endRepoMove(catalog, this.#move);
    });
  }

  /** Lets the repo be used where it was, and deletes the new rows. */
  async goBack(): Promise<void> {
    const { catalog, repo: { repoId } } = this.#options, { moveId, to } = this.#move;
    await this.#retry("abort", async () => {
      await this.#releaseTables(this.#source);
      await letRepoGo(this.#source, repoId, moveId);
      if (this.#move.madePause) await resumeRepo(this.#source, repoId);
      if (to !== null) await deleteRepoRow(this.#target, repoId);
      await this.#deleteRows(this.#target);
      await deleteRepoRest(this.#target, repoId, { isCatalog: to === null });
      await this.#releaseTables(this.#target);
      await endRepoMove(catalog, this.#move);
    });
  }

  async #hold(): Promise<void> {
    const { catalog, repo: { repoId }, waitMs, signal } = this.#options, { moveId } = this.#move;
    const source = this.#source;
    // Noted first: a pause that the move has made does not outlive it.
    if (!this.#move.madePause && !(await readRepoRest(source, repoId)).is_paused) {
      this.#move = await notePause(catalog, this.#move);
    }
    if (this.#move.madePause) await pauseRepo(source, repoId);
    const waitUntil = performance.now() + waitMs;
    while (await countRunningOf(source, repoId) > 0 && performance.now() < waitUntil) {
      await sleep(POLL_MS, signal);
    }
    const deadline = performance.now() + HOLD_MS;
    const orLate = (what: string) => {
      if (performance.now() <= deadline) return sleep(POLL_MS, signal);
      throw new DatabaseError(`Cannot hold the repo: ${what}; run the command again`);
    };
    for (const db of [source, this.#target]) {
      while (!await holdRepoToMove(db, repoId, moveId)) await orLate("gc holds it");
    }
    // Publishes that began before may not have seen the hold.
    const time = await serverTime(source);
    while (await isPublishRunning(source, time)) await orLate("publishes have not ended");
    for (const db of [source, this.#target]) {
      const isTarget = db === this.#target, tables = isTarget ? AWAITING_TABLES : HELD_TABLES;
      await prepareHold(db);
      for (const table of tables) {
        // The table of webhooks is held before: no other comes.
        const webhookIds = await webhooksOf(source, repoId);
        const held = { repoId, moveId, webhookIds, isTarget };
        while (!await ifUnlocked(() => holdTable(db, table, held))) {
          await orLate(`writers hold ${table}`);
        }
      }
    }
    await putJobsBack(source, { repoId, moveId });
  }

  async #copyTable(of: RepoTable): Promise<void> {
    const { repo: { repoId }, signal } = this.#options;
    // Without a key, a page that was written before would be there twice.
    if (of.table === "mpackd_finished_audits") await this.#deleteTable(this.#target, of);
    let rows = 0;
    for (let after = "";;) {
      signal.throwIfAborted();
      const page = await readRepoPage(this.#source, of, { repoId, after });
      if (page === undefined) return;
      await writeRepoPage(this.#target, of, page);
      await this.#copyShared(of, page);
      rows += page.rows;
      await this.#options.onProgress?.({ step: "copy", table: of.table, rows });
      after = page.last;
    }
  }

  async #copyShared(of: RepoTable, page: Page): Promise<void> {
    if (of.shared === undefined) return;
    const { table, id: key } = of.shared;
    const shared = await readSharedPage(this.#source, of, page.columns[of.key]);
    if (shared !== undefined) await writeRepoPage(this.#target, { table, key }, shared);
  }

  async #compare(of: RepoTable): Promise<number> {
    const { repo: { repoId } } = this.#options;
    const [there, here] = await Promise.all([
      sumRepoTable(this.#source, of, repoId),
      sumRepoTable(this.#target, of, repoId),
    ]);
    // The catalog has rows of its own for the jobs that it has forwarded.
    const isOwn = this.#move.to === null && of.key === "job_id";
    if (isOwn ? here.rows >= there.rows : same(there, here)) return there.rows;
    throw new DatabaseError(
      `Cannot turn the repo over: ${of.table} has ${there.rows} of its rows in the old shard and ` +
        `${here.rows} in the new one, with the checksums ${there.checksum} and ${here.checksum}; ` +
        "abort the move with --abort, and begin again",
      { retryable: false },
    );
  }

  async #deleteRows(db: Database): Promise<void> {
    const { repoId } = this.#options.repo;
    // Jobs that the catalog keeps keep what is staged for them.
    if (this.#move.from !== null) await deleteStagedOf(db, repoId);
    for (const of of [...this.#tables].reverse()) await this.#deleteTable(db, of);
  }

  async #deleteTable(db: Database, of: RepoTable): Promise<void> {
    const { repo: { repoId }, signal } = this.#options, { moveId } = this.#move;
    while (await deleteRepoPage(db, of, { repoId, moveId }) > 0) signal.throwIfAborted();
  }

  async #releaseTables(db: Database): Promise<void> {
    const { signal } = this.#options, { moveId } = this.#move;
    const deadline = performance.now() + HOLD_MS;
    for (let left = await heldTables(db, moveId); left.length > 0;) {
      for (const table of left) {
        await ifUnlocked(() => releaseTable(db, table, moveId));
      }
      left = await heldTables(db, moveId);
      if (left.length > 0 && performance.now() > deadline) {
        throw new DatabaseError(
          `Cannot let the repo go: others hold ${left.join(", ")}; run the command again`,
        );
      }
      if (left.length > 0) await sleep(POLL_MS, signal);
    }
    await dropHold(db);
  }

  async #retry(step: RepoMoveProgress["step"], work: () => Promise<void>): Promise<void> {
    const { signal, onProgress } = this.#options;
    signal.throwIfAborted();
    await onProgress?.({ step });
    await retryStep(work, { patienceMs: PATIENCE_MS, signal });
  }
}

function same(
  a: { readonly rows: number; readonly checksum: string },
  b: { readonly rows: number; readonly checksum: string },
): boolean {
  return a.rows === b.rows && a.checksum === b.checksum;
}
