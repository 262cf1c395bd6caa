/**
 * One attempt of an index job: opens the pack, streams it, proves it and publishes it.
 *
 * Memory: the hasher's buffers, the objects of one chunk, and two batches (one being filled, one
 * being sent).
 *
 * @module
 */

import { blobKeyOf } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { admitPush } from "../../db/quotas/admit_push.ts";
import { CancelledError, InvalidMpackError, QuotaError, StoreError } from "../../errors.ts";
import { LinkedAbort } from "../../lib/abort.ts";
import { nextTurn } from "../../lib/sleep.ts";
import { type ObjectColumns, objectIdsOf } from "../../lib/object_columns.ts";
import type { AttemptScope } from "../attempt/handler.ts";
import type { IndexContext, IndexJob, IndexProgress, MpackHooks } from "./context.ts";
import type { Materializer } from "./materialize.ts";
import { type OpenPack, openPack } from "./open_pack.ts";
import { proveCount, provePack } from "./prove.ts";
import { PackHistory } from "./pack_history.ts";
import { publishPack } from "./publish.ts";
import type { IndexResult } from "./result.ts";
import { Stager } from "./stager.ts";

/** Bytes that are decoded before other requests of the process get a turn, if that takes so long. */
const SLICE_BYTES = 256 * 1024, HOLD_MS = 20;

/**
 * Runs one attempt. Afterwards the job is `done` and its objects are visible, or an error is thrown
 * and they are not.
 *
 * A rejected pack is read a second time: its bytes were never proved to be the pack's, so a disk, a
 * cache or the network may have damaged them. So may a blob that was replaced during the reading.
 * The pack is refused only if both readings agree. A valid pack is read once.
 *
 * @returns The result, as it was written to the job's row.
 * @throws {InvalidMpackError} If the pack is refused; retrying cannot help.
 * @throws {QuotaError} If a quota of the repo or its owner does not allow the pack.
 * @throws {StoreError | DatabaseError} If a service failed for longer than its retries last.
 * @throws {LeaseLostError} If another worker holds the job; nothing more was written.
 */
export async function streamMpack(
  job: IndexJob,
  context: IndexContext,
  scope: AttemptScope,
  hooks?: MpackHooks,
): Promise<IndexResult> {
  const progress = (job.progress ?? {}) as { readonly read_bytes?: unknown };
  let readBytes = typeof progress.read_bytes === "number" ? progress.read_bytes : 0;
  let checkpoint = job.checkpoint, before: Error | undefined;
  const materializes = job.payload.materialize ?? context.config.materialize === "on";
  // Loaded here, because most packs are not materialized.
  const materialize = materializes ? await import("./materialize.ts") : undefined;
  for (;;) {
    const options = { context, scope, hooks, readBytes, materialize };
    const reading = new Reading({ ...job, checkpoint }, options);
    try {
      return await reading.run();
    } catch (error) {
      if (!reading.mayBeMisread(error)) throw error;
      if (before instanceof InvalidMpackError) throw secondVerdict(before, error);
      if (before !== undefined && !(error instanceof InvalidMpackError)) throw error;
      before = error;
      context.onStartOver?.(`${error.message}; the store is asked once more`, job);
    } finally {
      await reading.settle();
    }
    checkpoint = null;
    readBytes = reading.readBytes;
  }
}

/** Two verdicts agree if they name the same offset, or found the same digest. */
function secondVerdict(before: InvalidMpackError, error: Error): Error {
  if (error.message === before.message) return error;
  return new StoreError(
    "store-unavailable",
    `Cannot judge the pack: two readings of it differ (${before.message}; ${error.message})`,
    { cause: error },
  );
}

/** Whether no later attempt goes on. */
function isFinal(error: unknown): boolean {
  return error instanceof InvalidMpackError || error instanceof CancelledError ||
    error instanceof QuotaError;
}

interface ReadingOptions {
  readonly context: IndexContext;
  readonly scope: AttemptScope;
  readonly hooks?: MpackHooks;
  /** Bytes known to have been read for this job before, by all attempts. */
  readonly readBytes: number;
  /** Given if each object is also written as a blob of its own. */
  readonly materialize?: typeof import("./materialize.ts");
}

/** One reading of the pack, up to the publish. */
class Reading {
  /** Bytes known to have been read for this job so far, by all attempts. */
  readBytes: number;
  #job: IndexJob;
  readonly #context: IndexContext;
  readonly #scope: AttemptScope;
  readonly #hooks: MpackHooks | undefined;
  /** Fires with the attempt's signal, and when a batch could not be staged. */
  readonly #stop: LinkedAbort;
  readonly #signal: AbortSignal;
  readonly #materializer: Materializer | undefined;
  readonly #stager: Stager;
  readonly #history: PackHistory;
  /** The rows that go into the publish without being staged. */
  #lastRows: ObjectColumns | undefined;
  #isReading = false;
  #isProved = false;
  #isAdmitted = false;
  /** Whether it failed while a batch could not be staged, or the attempt was to end. */
  #isStopped = false;

  constructor(job: IndexJob, { context, scope, hooks, readBytes, materialize }: ReadingOptions) {
    this.readBytes = readBytes;
    this.#job = job;
    this.#context = context;
    this.#scope = scope;
    this.#hooks = hooks;
    this.#stop = new LinkedAbort(scope.signal);
    const signal = this.#signal = this.#stop.signal;
    if (materialize !== undefined) {
      const { repoId } = job, blobKey = this.#blobKey;
      this.#materializer = new materialize.Materializer(context, { repoId, blobKey, signal });
    }
    this.#history = new PackHistory(job, context, {
      isGuardedElsewhere: hooks?.guards === true,
      branch: hooks?.branch,
    });
    this.#stager = new Stager(job, context, {
      history: this.#history,
      onRenewed: (sentAt) => scope.renewed(sentAt),
      onError: (error) => this.#stop.abort(error),
      // A successor that continues from the checkpoint does not see these objects again.
      beforeSend: async () => await this.#materializer?.settled(),
    });
  }

  get #blobKey(): string {
    const { repoId, payload } = this.#job;
    return blobKeyOf(this.#context.config.blobKey, repoId, payload.mpack_key);
  }

  async run(): Promise<IndexResult> {
    const startedAt = performance.now();
    const pack = await openPack(this.#job, this.#context, {
      blobKey: this.#blobKey,
      hooks: { ...this.#history.hooks, ...this.#materializer?.hooks, ...this.#hooks?.decoder },
      signal: this.#signal,
    });
    try {
      await using _ = pack;
      const openedAt = performance.now();
      await this.#stream(pack);
      await this.#prove(pack);
      const provedAt = performance.now();
      const result = await this.#publish(pack, { startedAt, openedAt, provedAt });
      this.#history.ended();
      return result;
    } catch (thrown) {
      this.#isStopped = this.#signal.aborted;
      // A verdict of one reading is no verdict, and a reading that is stopped gets no second.
      const isVerdict = this.#isMisreadable && thrown instanceof InvalidMpackError;
      const error = this.#isStopped && isVerdict ? this.#signal.reason : thrown;
      if (isFinal(error)) this.#history.ended();
      await this.#removeBlobs(pack, error);
      throw error;
    }
  }

  /** Whether the error may come from bytes that are not the pack's. */
  mayBeMisread(error: unknown): error is Error {
    if (this.#isStopped || !this.#isMisreadable) return false;
    return error instanceof InvalidMpackError ||
      error instanceof StoreError && error.status === 412;
  }

  /** Whether bytes of the store have been judged, and the digest has not matched. */
  get #isMisreadable(): boolean {
    return !this.#hooks && this.#isReading && !this.#isProved;
  }

  /** Waits until no statement and no write of this reading is under way. */
  async settle(): Promise<void> {
    await this.#materializer?.close();
    await this.#stager.settled().catch(() => {});
    await this.#history[Symbol.asyncDispose]();
    this.#stop[Symbol.dispose]();
  }

  /** The one pass: each buffer is filled, decoded, and handed on to be hashed. */
  async #stream(pack: OpenPack): Promise<void> {
    const { decoder } = pack;
    if (this.#materializer) this.#materializer.etag = pack.reader.stat.etag;
    this.#stager.continueFrom(pack);
    await this.#history.continueFrom(pack.batches, pack.history);
    if (this.#materializer) await this.#admit(pack);
    this.#isReading = true;
    for (;;) {
      this.#signal.throwIfAborted();
      const sizeBytes = await this.#step(pack);
      if (sizeBytes === 0) return decoder.end();
      this.readBytes += sizeBytes;
      this.#report("stream", pack);
      await this.#materializer?.drain();
      await this.#history.drain();
      await this.#hooks?.drain();
      if (!this.#stager.isDue(pack)) continue;
      await this.#admit(pack);
      await this.#stager.stage(pack, this.readBytes);
    }
  }

  /** Reads, decodes and hashes one buffer; returns its length, 0 at the end. */
  async #step({ reader, decoder, hasher }: OpenPack): Promise<number> {
    if (reader.lend && hasher.hash) {
      const bytes = await reader.lend();
      if (bytes.length === 0) return 0;
      hasher.hash(bytes);
      for (let at = 0, since = performance.now(); at < bytes.length; at += SLICE_BYTES) {
        if (performance.now() - since > HOLD_MS) {
          await nextTurn();
          since = performance.now();
        }
        decoder.write(bytes.subarray(at, at + SLICE_BYTES));
      }
      return bytes.length;
    }
    const buffer = await hasher.borrow(), sizeBytes = await reader.read(buffer);
    if (sizeBytes === 0) return 0;
    decoder.write(buffer.subarray(0, sizeBytes));
    hasher.update(buffer, sizeBytes);
    return sizeBytes;
  }

  /** Checks the quotas before the first rows or blobs are written. A push has done so. */
  async #admit({ reader, decoder }: OpenPack): Promise<void> {
    if (this.#isAdmitted || this.#hooks) return;
    const { db, config } = this.#context, { repoId, payload } = this.#job;
    const { sizeBytes } = reader.stat, { objects } = decoder.counts;
    const pack = { repoId, mpackKey: payload.mpack_key, sizeBytes, objects };
    await admitPush(db, pack, { defaults: quotaDefaultsOf(config), isPush: false });
    this.#isAdmitted = true;
  }

  async #prove(pack: OpenPack): Promise<void> {
    const mpackKey = await provePack(pack, this.#job.payload.mpack_key);
    this.#isProved = true;
    if (this.#hooks) {
      this.#job = { ...this.#job, payload: { ...await this.#hooks.named(mpackKey) } };
    }
    proveCount(pack, this.#job.payload.declared_objects_count);
    await this.#stager.settled();
    await this.#materializer?.settled();
    this.#signal.throwIfAborted();
    // The last batch, which is all of a small pack, goes into the publish.
    const rows = this.#lastRows = pack.decoder.take(), lastIds = objectIdsOf(rows);
    const { batches, rowsStaged } = this.#stager;
    const staged = { jobId: this.#job.jobId, batches, rows: rowsStaged };
    await this.#history.settle(this.#job.payload, {
      records: pack.decoder.takeRecords(),
      lastIds,
      staged,
    });
    await this.#hooks?.beforePublish(lastIds, staged);
  }

  async #publish(
    pack: OpenPack,
    times: { startedAt: number; openedAt: number; provedAt: number },
  ): Promise<IndexResult> {
    this.#report("publish", pack);
    return await publishPack(this.#job, this.#context, {
      ...times,
      pack,
      blobKey: this.#blobKey,
      inline: this.#lastRows!,
      history: this.#history,
      stager: this.#stager,
      readBytes: this.readBytes,
      materialized: this.#materializer?.counts,
      onSend: () => this.#scope.finishing(),
      signal: this.#signal,
    });
  }

  /** Deletes the blobs of a pack that was refused or cancelled. A retry would need them. */
  async #removeBlobs({ decoder }: OpenPack, error: unknown): Promise<void> {
    if (this.#materializer === undefined || !isFinal(error)) return;
    await this.settle();
    const { batches, lastBatch } = this.#stager;
    const unstaged = [lastBatch, this.#lastRows ?? decoder.take()];
    const { removeUnwanted } = await import("./remove_unwanted.ts");
    // gc finds later what cannot be deleted now.
    await removeUnwanted(this.#job, this.#context, {
      batches,
      objectIds: unstaged.flatMap((rows) => rows ? objectIdsOf(rows) : []),
    }).catch(() => {});
  }

  #report(phase: IndexProgress["phase"], { decoder, reader }: OpenPack): void {
    this.#context.onProgress?.({
      phase,
      bytes: decoder.offsetBytes,
      sizeBytes: reader.stat.sizeBytes,
      objects: decoder.counts.objects,
    }, this.#job);
  }
}
