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
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { migrate } from "../../db/schema/migrate.ts";
import { currentLsn } from "../../db/client/replica.ts";
import { findShard } from "../../db/shards/catalog.ts";
import {
  countRunning,
  fenceTable,
  pauseClaims,
  prepareFence,
  resumeClaims,
  unfencedTables,
} from "../../db/shards/fence.ts";
import { sumTable } from "../../db/shards/move_compare.ts";
import {
  beginMove,
  findLastMove,
  findOpenMove,
  flipShard,
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
  findHelpers,
  findSlot,
  isReplayed,
} from "../../db/shards/move_source.ts";
import type { TableThere } from "../../db/shards/move_sql.ts";
import {
  createSchema,
  createSubscription,
  dropSubscription,
  findSubscription,
  putJobsBack,
  readCopying,
  readSequences,
  removeIdentity,
  setSequences,
} from "../../db/shards/move_target.ts";
import { ConfigError, DatabaseError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import { type CheckedMove, checkMove } from "./check_move.ts";
import { conninfoOf, schemaOf, withSchema } from "./conninfo.ts";
import { ifUnlocked, letWritersGoOn } from "./move_back.ts";
import type { MoveStepName, MoveSummary, MoveToOptions } from "./move_options.ts";
import { retryStep } from "./retry_step.ts";

const POLL_MS = 100;
/** Writers wait until the target has so much at most; the rest is replayed in a second or two. */
const CLOSE_BYTES = 16 * 1024 * 1024;
/** A table's lock is asked for in short turns, so long in all. */
const FENCE_MS = 2 * 60_000;
/** Between two turns, so that writers get theirs. */
const FENCE_PAUSE_MS = 200;
/** The target's workers start again every 5 s after a failure. More than these are no accident. */
const MAX_ERRORS = 5;
const PATIENCE_MS = 60_000;
/** A slot that is missing for so long does not belong to a table that gets ready. */
const LOST_MS = 10_000;

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
  const shardMove = new ShardMove(options);
  try {
    return await shardMove.run();
  } finally {
    await shardMove.close();
  }
}

class ShardMove {
  readonly #options: MoveToOptions;
  readonly #startedAt = performance.now();
  #source!: Database;
  #target!: Database;
  #sourceUrl = "";
  #newUrl = "";
  #move!: Move;
  #checked!: CheckedMove;
  #heldAt = 0;
  /** Tables without the slot that they have to go on from. */
  readonly #missingSince = new Map<number, number>();
  #rows = 0;
  #putBack = 0;

  constructor(options: MoveToOptions) {
    this.#options = options;
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

    const open = await findOpenMove(catalog, name);
    this.#requireSame(open);
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
        ? await beginMove(catalog, { shard: name, oldUrl: shard.url, newUrl: this.#newUrl })
        : await takeMove(catalog, open.moveId);
    });
    if (this.#move.step !== "ready") {
      await this.#follow();
      await this.#hold();
    }
    await this.#turnOver();
    return this.#summary({ isMoved: true });
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
    const name = moveName(this.#move);
    let errorsBefore: number | undefined, best = "";
    for (;;) {
      const copying = await readCopying(this.#target, name), slot = await this.#requireSlot();
      if (copying === undefined) throw this.#lost("its subscription is gone");
      await this.#requireHelpers(copying.catching_up);
      const { tables, ready, errors } = copying;
      const isCopied = tables > 0 && ready === tables;
      const bytes = isCopied ? slot.lag_bytes : copying.copied_bytes;
      await this.#report("copy", { done: ready, total: tables, bytes });
      if (isCopied && slot.is_active && slot.lag_bytes <= CLOSE_BYTES) return;
      const now = `${ready} ${isCopied ? "" : bytes}`;
      if (errorsBefore === undefined || now !== best) errorsBefore = errors;
      best = now;
      if (errors - errorsBefore > MAX_ERRORS) {
        throw new DatabaseError(
          `Cannot copy shard ${this.#move.shard}: the target's workers have failed ${errors} times; ` +
            `the log of ${this.#target.label} says why. Run the command again, or with --abort`,
          { retryable: false },
        );
      }
      await sleep(POLL_MS, this.#options.signal);
    }
  }

  /** A table whose slot is gone never gets ready, and its worker's failures are counted nowhere. */
  async #requireHelpers(tables: readonly number[]): Promise<void> {
    const { subscriptionOid } = this.#move, now = performance.now();
    if (tables.length === 0 || subscriptionOid === null) return this.#missingSince.clear();
    const there = await findHelpers(this.#source, subscriptionOid);
    for (const table of [...this.#missingSince.keys(), ...tables]) {
      if (there.has(table) || !tables.includes(table)) this.#missingSince.delete(table);
      else if (!this.#missingSince.has(table)) this.#missingSince.set(table, now);
    }
    // One that has just got ready may still look like one that is lost.
    if ([...this.#missingSince.values()].some((since) => now - since > LOST_MS)) {
      throw this.#lost("the slot of a table that is being copied is gone");
    }
  }

  async #requireSlot() {
    const slot = await findSlot(this.#source, moveName(this.#move));
    if (slot === undefined) {
      throw this.#lost("its replication slot is gone, as after a failover of the source");
    }
    if (!slot.is_whole) {
      throw this.#lost("the source has removed WAL that the target needs (max_slot_wal_keep_size)");
    }
    return slot;
  }

  #lost(what: string): ConfigError {
    return new ConfigError(
      `Cannot go on with the move of shard ${this.#move.shard}: ${what}; abort it with --abort, and ` +
        "begin again",
    );
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
    const move = await noteMove(this.#options.catalog, this.#move, { step: "copying" });
    // Also when the command was interrupted.
    const signal = AbortSignal.timeout(PATIENCE_MS);
    await letWritersGoOn({ ...this.#options, signal }, this.#source, move);
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
      await prepareFence(this.#source, this.#move.moveId);
      const deadline = performance.now() + FENCE_MS;
      for (;;) {
        const tables = inFenceOrder(await unfencedTables(this.#source));
        if (tables.length === 0) return;
        const left: string[] = [];
        for (const table of tables) {
          if (!await ifUnlocked(() => fenceTable(this.#source, this.#move.moveId, table))) {
            left.push(table);
          }
        }
        await this.#report("fence", { done: tables.length - left.length, total: tables.length });
        if (left.length > 0 && performance.now() > deadline) {
          throw new DatabaseError(
            `Cannot fence ${left.join(", ")}: writers hold them for ${FENCE_MS / 1000} s; ` +
              "pg_stat_activity of the source shows which. Writers go on; run the command again",
          );
        }
        if (left.length > 0) await sleep(FENCE_PAUSE_MS, this.#options.signal);
      }
    });
  }

  /** Waits until the target has all that was committed before the fence. */
  async #replay(): Promise<void> {
    await this.#step("replay", async () => {
      const lsn = await currentLsn(this.#source), name = moveName(this.#move);
      while (!await isReplayed(this.#source, name, lsn)) {
        const { lag_bytes: bytes } = await this.#requireSlot();
        await this.#report("replay", { bytes });
        await sleep(POLL_MS / 10, this.#options.signal);
      }
    });
  }

  /** Compares every table on both sides. Neither changes meanwhile. */
  async #compare(): Promise<void> {
    await this.#step("compare", async () => {
      const { tables } = this.#checked;
      this.#rows = 0;
      for (const [done, table] of tables.entries()) {
        await this.#report("compare", { done, total: tables.length });
        this.#rows += await this.#compareTable(table);
        this.#options.signal.throwIfAborted();
      }
      this.#move = await noteMove(this.#options.catalog, this.#move, { step: "ready" });
    });
  }

  async #compareTable({ name, columns }: TableThere): Promise<number> {
    const how = { columns, kind: this.#options.check };
    const [there, here] = await Promise.all([
      sumTable(this.#source, name, how),
      sumTable(this.#target, name, how),
    ]);
    if (there.rows === here.rows && there.checksum === here.checksum) return there.rows;
    throw new DatabaseError(
      `Cannot turn shard ${this.#move.shard} over: ${name} has ${there.rows} rows at the source and ` +
        `${here.rows} at the target, with the checksums ${there.checksum || "-"} and ` +
        `${here.checksum || "-"}. Writers go on at the source; abort the move with --abort`,
      { retryable: false },
    );
  }

  /** Makes the target a database of its own, and tells the catalog. */
  async #turnOver(): Promise<void> {
    const { catalog } = this.#options, { moveId } = this.#move, name = moveName(this.#move);
    const source = this.#source, target = this.#target;
    await this.#step("detach", async () => {
      const unfenced = await unfencedTables(source);
      if (unfenced.length > 0) {
        throw this.#lost(`the fence of ${unfenced.join(", ")} is gone, as after a failover`);
      }
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
      try {
        await flipShard(catalog, this.#move);
      } catch (error) {
        // The answer of an earlier try may have been lost.
        if (!(error instanceof ConfigError)) throw error;
        if ((await findLastMove(catalog, this.#move.shard))?.moveId !== moveId) throw error;
      }
    });
  }

  #requireSame(open: Move | undefined): void {
    if (open === undefined) return;
    if (open.step === "aborting") {
      throw new ConfigError(
        `Cannot move shard ${open.shard}: a move of it is being aborted; run the command with --abort ` +
          "again first",
      );
    }
    if (open.newUrl !== this.#newUrl) {
      throw new ConfigError(
        `Cannot move shard ${open.shard} there: a move of it to another place has begun; go on with ` +
          "that one, or abort it with --abort",
      );
    }
  }

  async #step(step: MoveStepName, work: () => Promise<void>): Promise<void> {
    const { signal, patienceMs = PATIENCE_MS } = this.#options;
    signal.throwIfAborted();
    await this.#report(step);
    await retryStep(work, {
      patienceMs,
      signal,
      onWait: (waitingFor) => this.#report(step, { waitingFor }),
    });
  }

  async #report(
    step: MoveStepName,
    rest: { done?: number; total?: number; bytes?: number; waitingFor?: string } = {},
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

/** The queue first: without a job's row nothing new begins to be published. */
function inFenceOrder(tables: readonly string[]): string[] {
  const first = "musehub_background_jobs";
  return [...tables].sort((a, b) => Number(b === first) - Number(a === first));
}
