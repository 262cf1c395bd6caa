/**
 * Moves a shard to another database, here or on another server, while it is used.
 *
 * PostgreSQL copies it: a publication on the source, a subscription on the target, which follows until
 * both are equal. Then writers wait for seconds: the source is fenced, the target replays the rest,
 * both are compared, and one statement of the catalog turns the shard over. Readers see no gap: they
 * read the source until then, and it stays as it is.
 *
 * Each step does nothing that is done already, so the same command goes on after an interruption. Only
 * the last two steps cannot be done from the start again, and the catalog notes that they have begun.
 * When a server has failed over before the catalog is turned over, the move goes back and begins again.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { migrate } from "../../db/schema/migrate.ts";
import { currentLsn } from "../../db/client/replica.ts";
import { findShard } from "../../db/shards/catalog.ts";
import { countRunning, pauseClaims, resumeClaims, unfencedTables } from "../../db/shards/fence.ts";
import {
  beginMove,
  findLastMove,
  findOpenMove,
  flipShard,
  isAborted,
  type Move,
  moveName,
  noteMove,
  takeMove,
} from "../../db/shards/move_rows.ts";
import {
  createPublication,
  createSlot,
  dropPublication,
  dropSlots,
  isReplayed,
} from "../../db/shards/move_source.ts";
import {
  createSchema,
  createSubscription,
  dropSubscription,
  findSubscription,
  putJobsBack,
  readSequences,
  removeIdentity,
  setSequences,
} from "../../db/shards/move_target.ts";
import { ConfigError, DatabaseError, MpackdError } from "../../errors.ts";
import { counted } from "../../lib/numbers.ts";
import { sleep } from "../../lib/sleep.ts";
import { type CheckedMove, checkMove } from "./check_move.ts";
import { conninfoOf, schemaOf, withSchema } from "./conninfo.ts";
import { Copy, LostCopyError } from "./lost_copy.ts";
import { compareTables, fenceTables } from "./make_equal.ts";
import { abortMove, letWritersGoOn } from "./move_back.ts";
import type { MoveProgress, MoveStepName, MoveSummary, MoveToOptions } from "./move_options.ts";
import { retryStep } from "./retry_step.ts";

const POLL_MS = 100;
/** Writers wait until the target has so much at most; the rest is replayed in a second or two. */
const CLOSE_BYTES = 16 * 1024 * 1024;
/** The target's workers start again every 5 s after a failure. More than these are no accident. */
const MAX_ERRORS = 5;
const PATIENCE_MS = 60_000;
/** Servers that fail over more often than this during one move are not fit for it. */
const MOST_COPIES = 5;

/**
 * Moves a shard, or goes on with a move that was interrupted.
 *
 * While writers wait and something fails that time does not cure, they are let go on at the source:
 * the target follows, and the same call tries again.
 *
 * @throws {ConfigError} If something is missing; the message has the next step.
 * @throws {DatabaseError} If a server does not answer for a minute, or both sides are not equal.
 */
export async function moveShard(options: MoveToOptions): Promise<MoveSummary> {
  const startedAt = performance.now();
  for (let copies = 1;; copies++) {
    const shardMove = new ShardMove(options, startedAt);
    try {
      return await shardMove.run();
    } catch (error) {
      if (!(error instanceof LostCopyError) || copies === MOST_COPIES) throw error;
      await shardMove.goBack(error);
    } finally {
      await shardMove.close();
    }
  }
}

class ShardMove {
  readonly #options: MoveToOptions;
  readonly #startedAt: number;
  #source!: Database;
  #target!: Database;
  #sourceUrl = "";
  #newUrl = "";
  #move!: Move;
  #checked!: CheckedMove;
  #heldAt = 0;
  #answeredAt = 0;
  #rows = 0;
  #putBack = 0;

  constructor(options: MoveToOptions, startedAt: number) {
    this.#options = options;
    this.#startedAt = startedAt;
  }

  async run(): Promise<MoveSummary> {
    const { catalog, shard: name, completeUrl, connect, isDryRun = false } = this.#options;
    const shard = await findShard(catalog, name);
    if (shard === undefined) {
      throw new ConfigError(`Cannot move shard ${name}: "mpackd shard list" shows all`);
    }
    const schema = schemaOf(completeUrl(shard.url)) ?? "public";
    const given = this.#options.newUrl;
    this.#newUrl = schemaOf(completeUrl(given)) === undefined ? withSchema(given, schema) : given;
    if (shard.url === this.#newUrl) return this.#summary({ isMoved: false });
    const wanted = schemaOf(completeUrl(this.#newUrl));
    if (wanted !== schema) {
      throw new ConfigError(
        `Cannot move shard ${name} into the schema ${wanted}: it keeps the name of its schema, ` +
          `${schema}; leave search_path out of the URL`,
      );
    }
    this.#source = connect(completeUrl(shard.url));
    this.#target = connect(completeUrl(this.#newUrl));
    this.#sourceUrl = completeUrl(this.#options.sourceUrl ?? shard.url);

    const open = await this.#findOpen();
    await this.#step("check", async () => {
      this.#checked = await checkMove({
        source: this.#source,
        target: this.#target,
        shard: name,
        sourceUrl: this.#sourceUrl,
        isBegun: open !== undefined,
      });
    });
    if (isDryRun) return this.#summary({ isMoved: false });
    await this.#step("begin", async () => {
      this.#move = open === undefined
        ? await beginMove(catalog, {
          shard: name,
          oldUrl: shard.url,
          newUrl: this.#newUrl,
          oldTimeline: this.#checked.oldTimeline,
          newTimeline: this.#checked.newTimeline,
        })
        : await takeMove(catalog, open.moveId);
    });
    try {
      if (this.#move.step !== "ready") {
        await this.#step("begin", () => this.#watch().requireServers());
        await this.#follow();
        await this.#hold();
      }
      await this.#turnOver();
    } catch (error) {
      // Whatever it looks like.
      const isOpen = error instanceof MpackdError && !(error instanceof LostCopyError);
      if (isOpen && this.#move.step !== "ready") {
        await this.#watch().requireServers().catch((cause) => {
          if (cause instanceof LostCopyError) throw cause;
        });
      }
      throw error;
    }
    return this.#summary({ isMoved: true });
  }

  /**
   * Removes a copy that cannot go on.
   *
   * @throws {ConfigError} If another process has taken the move over, or has aborted it.
   */
  async goBack({ reason }: LostCopyError): Promise<void> {
    await this.#step("back", async () => {
      await this.#report("back", { waitingFor: reason });
      // An earlier try may have gone back, and its answer been lost.
      if (await isAborted(this.#options.catalog, this.#move)) return;
      await abortMove(this.#options, this.#move);
    });
  }

  /** Makes the target a copy that follows. Nobody waits for it. */
  async #follow(): Promise<void> {
    const { catalog } = this.#options, { schema, tables } = this.#checked;
    const source = this.#source, target = this.#target, name = moveName(this.#move);
    await this.#step("schema", async () => {
      if (await findSubscription(target, name) !== undefined) return;
      if (!await hasSchema(target)) {
        // Noted first: a schema that the move has made goes when it is aborted.
        this.#move = await noteMove(catalog, this.#move, { madeSchema: true });
        await createSchema(target, schema);
      }
      await migrate(target);
      await removeIdentity(target);
    });
    await this.#step("publish", async () => {
      await createPublication(source, name, tables.map(({ name }) => name));
      if (await findSubscription(target, name) === undefined) await createSlot(source, name);
    });
    await this.#step("subscribe", async () => {
      if (await findSubscription(target, name) === undefined) {
        await createSubscription(target, name, conninfoOf(this.#sourceUrl));
      }
      const subscriptionOid = await findSubscription(target, name);
      this.#move = await noteMove(catalog, this.#move, { subscriptionOid });
    });
    await this.#step("copy", () => this.#waitForCopy());
  }

  /** Waits until every table is copied, and the target is close behind. */
  async #waitForCopy(): Promise<void> {
    const copy = this.#watch();
    let errorsBefore: number | undefined, best = "";
    for (;;) {
      await copy.requireServers();
      const slot = await copy.slot(), copying = await copy.copying();
      const { tables, ready, errors } = copying;
      const isCopied = tables > 0 && ready === tables;
      const bytes = isCopied ? slot.lag_bytes : copying.copied_bytes;
      this.#answeredAt = performance.now();
      await this.#report("copy", { done: ready, total: tables, bytes });
      if (isCopied && slot.is_active && slot.lag_bytes <= CLOSE_BYTES) return;
      const now = `${ready} ${isCopied ? "" : bytes}`;
      if (errorsBefore === undefined || now !== best) errorsBefore = errors;
      best = now;
      if (errors - errorsBefore > MAX_ERRORS && !copy.isMissing) {
        throw new DatabaseError(
          `Cannot copy shard ${this.#move.shard}: the target's workers have failed ${
            counted(errors, "time")
          }; ` +
            `the log of ${this.#target.label} says why. Run the command again, or with --abort`,
          { retryable: false },
        );
      }
      await sleep(POLL_MS, this.#options.signal);
    }
  }

  /** Makes both sides equal, while writers wait. */
  async #hold(): Promise<void> {
    this.#heldAt = performance.now();
    try {
      await this.#drain();
      await this.#fence();
      await this.#replay();
      await this.#compare();
    } catch (error) {
      // A process that has taken the move over, or aborts it, does this itself.
      const stillOurs = await findOpenMove(this.#options.catalog, this.#move.shard)
        .catch(() => undefined);
      if (stillOurs?.runId === this.#move.runId && stillOurs.step === "fencing") {
        await this.#release().catch(() => {});
      }
      throw error;
    }
  }

  async #release(): Promise<void> {
    const { catalog, signal: { aborted: isInterrupted }, patienceMs = PATIENCE_MS } = this.#options;
    // Also when the command was interrupted, but then not for long.
    const signal = AbortSignal.timeout(PATIENCE_MS);
    await retryStep(async () => {
      const move = await noteMove(catalog, this.#move, { step: "copying" });
      await letWritersGoOn({ ...this.#options, signal }, this.#source, move);
    }, { patienceMs: isInterrupted ? 0 : patienceMs, signal });
  }

  /** Pauses the claims, and lets running attempts end. */
  async #drain(): Promise<void> {
    const { catalog, waitMs, signal } = this.#options;
    await this.#step("drain", async () => {
      this.#move = await noteMove(catalog, this.#move, { step: "fencing" });
      // On a fenced source it is there: this fence was made behind it.
      if ((await unfencedTables(this.#source)).includes("mpackd_pauses")) {
        await pauseClaims(this.#source, this.#move.moveId);
      }
      const deadline = performance.now() + waitMs;
      for (;;) {
        const running = await countRunning(this.#source);
        await this.#report("drain", { done: 0, total: running });
        if (running === 0 || performance.now() > deadline) return;
        await sleep(POLL_MS, signal);
      }
    });
  }

  async #fence(): Promise<void> {
    await this.#step("fence", async () => {
      await fenceTables(this.#source, this.#move, {
        signal: this.#options.signal,
        tell: (tables) => this.#report("fence", tables),
      });
    });
  }

  /** Waits until the target has all that was committed before the fence. */
  async #replay(): Promise<void> {
    await this.#step("replay", async () => {
      const lsn = await currentLsn(this.#source), name = moveName(this.#move);
      while (!await isReplayed(this.#source, name, lsn)) {
        const { lag_bytes: bytes } = await this.#watch().slot();
        await this.#report("replay", { bytes });
        await sleep(POLL_MS / 10, this.#options.signal);
      }
    });
  }

  async #compare(): Promise<void> {
    const { catalog, shard, check: kind, signal } = this.#options;
    await this.#step("compare", async () => {
      this.#rows = await compareTables({
        shard,
        source: this.#source,
        target: this.#target,
        tables: this.#checked.tables,
        kind,
        signal,
        tell: (tables) => this.#report("compare", tables),
      });
      // What the fence holds on these servers, no failover takes back.
      await this.#watch().requireServers();
      this.#move = await noteMove(catalog, this.#move, { step: "ready" });
    });
  }

  /** Makes the target a database of its own, and tells the catalog. */
  async #turnOver(): Promise<void> {
    const { catalog } = this.#options, { moveId } = this.#move, name = moveName(this.#move);
    const source = this.#source, target = this.#target;
    await this.#step("detach", async () => {
      await this.#requireEqual();
      await dropSubscription(target, name);
      await setSequences(target, await readSequences(source));
      this.#putBack += await putJobsBack(target);
      await resumeClaims(target, moveId);
      // A slot keeps the server's log for ever, so it goes before the move ends.
      while (!await dropSlots(source, name, this.#move.subscriptionOid)) {
        await sleep(POLL_MS, this.#options.signal);
      }
      await dropPublication(source, name);
    });
    await this.#step("flip", async () => {
      await this.#requireEqual();
      try {
        await flipShard(catalog, this.#move);
      } catch (error) {
        // The answer of an earlier try may have been lost.
        if (!(error instanceof ConfigError)) throw error;
        if ((await findLastMove(catalog, this.#move.shard))?.moveId !== moveId) throw error;
      }
    });
  }

  /**
   * Makes sure that both sides are still as they were compared. The source may have failed over: where
   * the fence is, all before it is, and nothing came after it.
   */
  async #requireEqual(): Promise<void> {
    const copy = this.#watch();
    await copy.requireTarget();
    const unfenced = await unfencedTables(this.#source);
    if (unfenced.length > 0) throw copy.lost(`the fence of ${unfenced.join(", ")} is gone`);
  }

  #watch(): Copy {
    return new Copy({ source: this.#source, target: this.#target, move: this.#move });
  }

  /** The move to go on with. One that goes back has to arrive there first. */
  async #findOpen(): Promise<Move | undefined> {
    const { catalog, shard, isDryRun = false } = this.#options;
    const open = await findOpenMove(catalog, shard);
    if (open?.step === "aborting" && !isDryRun) {
      await this.#step("back", () => abortMove(this.#options));
      return undefined;
    }
    if (open !== undefined && open.newUrl !== this.#newUrl) {
      throw new ConfigError(
        `Cannot move shard ${open.shard} there: a move of it to another place has begun; go on with ` +
          "that one, or abort it with --abort",
      );
    }
    return open;
  }

  async #step(step: MoveStepName, work: () => Promise<void>): Promise<void> {
    const { signal, patienceMs = PATIENCE_MS } = this.#options;
    signal.throwIfAborted();
    await this.#report(step);
    await retryStep(work, {
      patienceMs,
      signal,
      answeredAt: () => this.#answeredAt,
      onWait: (waitingFor) => this.#report(step, { waitingFor }),
    });
  }

  async #report(
    step: MoveStepName,
    rest: Omit<MoveProgress, "step"> = {},
  ): Promise<void> {
    await this.#options.onProgress?.({ step, ...rest });
  }

  #summary({ isMoved }: { readonly isMoved: boolean }): MoveSummary {
    const now = performance.now();
    return {
      shard: this.#options.shard,
      dry_run: this.#options.isDryRun ?? false,
      moved: isMoved,
      tables: this.#checked?.tables.length ?? 0,
      rows: this.#rows,
      bytes: this.#checked?.bytes ?? 0,
      jobs_put_back: this.#putBack,
      fenced_ms: this.#heldAt === 0 ? 0 : Math.round(now - this.#heldAt),
      elapsed_ms: Math.round(now - this.#startedAt),
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#source?.close(), this.#target?.close()]);
  }
}

async function hasSchema(target: Database): Promise<boolean> {
  const [{ has }] = await target.query<{ has: boolean }>("look for a schema")`
    select current_schema() is not null as has`;
  return has;
}
