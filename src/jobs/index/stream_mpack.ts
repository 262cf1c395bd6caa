/**
 * The pipeline: one mpack, streamed once, proved, published.
 *
 * ```text
 * blob store ─▶ SHA-256 ─▶ decoder ─▶ batches ─▶ staged rows ─▶ proof ─▶ publish
 * ```
 *
 * Every write is one fenced autocommit statement. Staged rows are invisible to every reader; the
 * statement that makes them visible is sent only after the digest of all bytes has matched the
 * mpack's key. A crash anywhere leaves rows that nobody sees, and a checkpoint to go on from.
 *
 * Memory: the hasher's buffers, one chunk's objects, and two batches (one filling, one on its way).
 *
 * @module
 */

import { type Checkpoint, CHECKPOINT_VERSION } from "./checkpoint.ts";
import { blobKeyOf, type Config } from "../../config/config.ts";
import { findPublished, type PublishOutcome } from "../../db/publish/publish.ts";
import type { PublishPack } from "../../db/publish/publish_pack.ts";
import { Publisher } from "../../db/publish/publisher.ts";
import { type StageBatch, stageBatch } from "../../db/publish/stage.ts";
import { CancelledError, DatabaseError, InvalidMpackError, StoreError } from "../../errors.ts";
import { trimHeap } from "../../lib/heap.ts";
import { withPrefix } from "../../lib/ids.ts";
import { Materializer } from "./materialize.ts";
import type { Sha256 } from "../../hash/sha256.ts";
import { removeUnwanted } from "./remove_unwanted.ts";
import { type IndexResult, resultOf } from "./result.ts";
import type { IndexContext, IndexJob, IndexProgress } from "./context.ts";
import { openStart, type Start } from "./open_pack.ts";
import { LinkedAbort } from "../../lib/abort.ts";
import type { BlobReader } from "../../stream/store/blob_store.ts";
import { type ObjectColumns, objectIdsOf } from "../../lib/object_columns.ts";
import type { MpackDecoder } from "../../stream/mpack/mpack_decoder.ts";

/**
 * So many rows leave garbage worth a pause of 25 ms. The buffers of large objects leave none: there
 * the pauses alone let the hashing thread run dry, a tenth of its time.
 */
const COLLECT_ROWS = 80_000;

/**
 * Runs one attempt of an `mpack.index` job to its end: afterwards the job is `done` and its objects
 * are visible, or an error is thrown and they are not.
 *
 * @returns The result, as it was written to the job's row.
 * @throws {InvalidMpackError} If the pack is refused; retrying cannot help.
 * @throws {StoreError | DatabaseError} If a service failed for longer than its retries last.
 * @throws {LeaseLostError} If another worker holds the job; nothing more was written.
 */
export async function streamMpack(job: IndexJob, context: IndexContext): Promise<IndexResult> {
  const noted = (job.progress as { read_bytes?: unknown } | null | undefined)?.read_bytes;
  const readBefore = typeof noted === "number" ? noted : 0;
  let attempt = new Attempt(job, context, readBefore), before: Error | undefined;
  for (;;) {
    try {
      return await attempt.run();
    } catch (error) {
      if (!attempt.mayBeMisread(error)) throw error;
      // What is rejected was never proved to be the pack: a disk, a cache or a wire may have garbled
      // it. It takes two verdicts, and a blob that was replaced while it was read has got none. A
      // bad pack costs this second reading, a sound one never does.
      if (before instanceof InvalidMpackError) throw agreed(before, error);
      if (before !== undefined && !(error instanceof InvalidMpackError)) throw error;
      before = error;
      context.onStartOver?.(`${error.message}; the store is asked once more`);
    } finally {
      await attempt.settle();
    }
    attempt = new Attempt({ ...job, checkpoint: null }, context, attempt.readBytes);
  }
}

/** Two verdicts as one: they differ, or the message has the same offset, or digest found. */
function agreed(before: InvalidMpackError, error: Error): Error {
  if (error.message === before.message) return error;
  return new StoreError(
    "store-unavailable",
    `Cannot judge the pack: two readings of it differ (${before.message}; ${error.message})`,
    { cause: error },
  );
}

class Attempt {
  readonly #job: IndexJob;
  readonly #context: IndexContext;
  readonly #config: Config;
  readonly #blobKey: string;
  /** Fires when the caller's signal does, and when a batch could not be staged. */
  readonly #stop: LinkedAbort;
  readonly #signal: AbortSignal;
  readonly #materializer: Materializer | undefined;
  #staging: Promise<void> = Promise.resolve();
  #rowsStaged = 0;
  #batches = 0;
  #hasStaged = false;
  #inline: ObjectColumns | undefined;
  /** The last batch, which may not have arrived. */
  #lastBatch: ObjectColumns | undefined;
  /** Whether this attempt has staged all batches. */
  #isStageFresh = true;
  #checkpointOffset = 0;
  #checkpointAt = performance.now();
  /** Bytes known to have been read for this job, by whichever attempt. */
  #readBytes: number;
  /** Rows staged since garbage was last collected. */
  #uncollectedRows = 0;
  #isReading = false;
  #isProved = false;

  constructor(job: IndexJob, context: IndexContext, readBefore: number) {
    this.#readBytes = readBefore;
    this.#job = job;
    this.#context = context;
    this.#config = context.config;
    this.#blobKey = blobKeyOf(context.config.blobKey, job.repoId, job.mpackKey);
    this.#stop = new LinkedAbort(context.signal);
    this.#signal = this.#stop.signal;
    if (job.materialize ?? context.config.materialize === "on") {
      const { repoId } = job, blobKey = this.#blobKey, signal = this.#signal;
      this.#materializer = new Materializer({ ...context, repoId, blobKey, signal });
    }
  }

  /** Bytes known to have been read for this job so far. */
  get readBytes(): number {
    return this.#readBytes;
  }

  /** Whether other bytes than the pack's may have led to this error. */
  mayBeMisread(error: unknown): error is Error {
    if (this.#context.hooks || this.#signal.aborted) return false;
    if (!this.#isReading || this.#isProved) return false;
    return error instanceof InvalidMpackError ||
      error instanceof StoreError && error.status === 412;
  }

  /** Waits until no statement and no write of this attempt is under way. */
  async settle(): Promise<void> {
    await this.#materializer?.close();
    await this.#staging.catch(() => {});
    this.#stop[Symbol.dispose]();
  }

  async run(): Promise<IndexResult> {
    const startedAt = performance.now();
    const start = await openStart(this.#job, this.#context, {
      blobKey: this.#blobKey,
      handler: { ...this.#materializer?.handler, ...this.#context.hooks?.handler },
      signal: this.#signal,
    });
    try {
      return await this.#runFrom(start, startedAt);
    } catch (error) {
      await this.#removeBlobs(start.decoder, error);
      throw error;
    }
  }

  async #runFrom(start: Start, startedAt: number): Promise<IndexResult> {
    await using reader = start.reader;
    using hasher = start.hasher;
    const { decoder } = start;
    this.#rowsStaged = start.rowsStaged;
    this.#batches = start.batches;
    this.#isStageFresh = start.batches === 0;
    const resumedFrom = decoder.offsetBytes;
    this.#checkpointOffset = resumedFrom;
    const openedAt = performance.now();

    if (this.#materializer) this.#materializer.etag = reader.stat.etag;
    this.#isReading = true;
    await this.#stream(reader, decoder, hasher);
    await this.#prove(reader, decoder, hasher);
    this.#isProved = true;
    this.#checkDeclared(decoder);
    await this.#staging;
    await this.#materializer?.settled();
    this.#signal.throwIfAborted();
    // The last batch, all of a small pack, goes along with the publish.
    const inline = this.#inline = decoder.take();
    await this.#context.hooks?.beforePublish(objectIdsOf(inline), {
      jobId: this.#job.jobId,
      rows: this.#rowsStaged,
    });

    const provedAt = performance.now();
    const { counts } = decoder;
    this.#report("publish", decoder, reader);
    return await this.#publish({
      repoId: this.#job.repoId,
      mpackKey: this.#job.mpackKey,
      storageUri: `mpack://${this.#job.mpackKey}`,
      blobKey: this.#blobKey,
      etag: reader.stat.etag,
      sizeBytes: reader.stat.sizeBytes,
      ...counts,
      sortedUnique: decoder.sortedUnique,
      isStageFresh: this.#isStageFresh,
      batches: this.#batches,
      inline,
      result: {
        mpack_key: this.#job.mpackKey,
        size_bytes: reader.stat.sizeBytes,
        objects_total: counts.objects,
        commits: counts.commits,
        snapshots: counts.snapshots,
        tags: counts.tags,
        batches: this.#batches,
        resumed_from_byte: resumedFrom,
        hashed_bytes: hasher.bytesHashed,
        reread_bytes: Math.max(0, this.#readBytes - reader.stat.sizeBytes),
        ...(this.#materializer && { materialized: this.#materializer.counts }),
        elapsed_ms: Math.round(provedAt - startedAt),
        phases_ms: {
          open: Math.round(openedAt - startedAt),
          stream: Math.round(provedAt - openedAt),
        },
      },
    });
  }

  async #publish(pack: PublishPack): Promise<IndexResult> {
    const { db, onPublish: onSend, publisher = new Publisher(db) } = this.#context;
    const { publishTimeoutMs: deadlineMs } = this.#config;
    let published: PublishOutcome;
    try {
      published = await publisher.publish(this.#job, pack, { deadlineMs, onSend });
    } catch (error) {
      // The answer may have been lost after the statement took effect: then the job says so.
      if (!(error instanceof DatabaseError)) throw error;
      const result = await findPublished(db, this.#job).catch(() => undefined);
      if (result === undefined) throw error;
      return resultOf(result);
    }
    switch (published.outcome) {
      case "published":
        return resultOf(published.result);
      case "rows-missing":
        throw new DatabaseError(
          `Cannot publish the pack: ${published.found} of ${published.expected} rows are staged; ` +
            "the next attempt starts over",
        );
      case "tombstoned":
        throw new StoreError(
          "blob-missing",
          `Cannot publish the pack: gc is deleting its repo, or ${this.#blobKey}, which lay ` +
            "unused for long; put the blob again",
        );
      case "conflict":
        throw new InvalidMpackError(
          "duplicate-key",
          `Cannot accept the pack: ${published.objectId} comes twice with two sizes, ` +
            `first at byte ${published.firstOffset}, again`,
          { offsetBytes: published.secondOffset },
        );
    }
  }

  /** The one pass: each buffer is filled, decoded, and handed on to be hashed. */
  async #stream(reader: BlobReader, decoder: MpackDecoder, hasher: Sha256): Promise<void> {
    for (;;) {
      this.#signal.throwIfAborted();
      const buffer = await hasher.borrow();
      const sizeBytes = await reader.read(buffer);
      if (sizeBytes === 0) return decoder.end();
      this.#readBytes += sizeBytes;
      decoder.write(buffer.subarray(0, sizeBytes));
      hasher.update(buffer, sizeBytes);
      this.#report("stream", decoder, reader);
      await this.#materializer?.drain();
      await this.#context.hooks?.drain();
      if (this.#isDue(decoder, reader)) await this.#stage(decoder, hasher, reader);
    }
  }

  #isDue(decoder: MpackDecoder, reader: BlobReader): boolean {
    if (decoder.rowsReady >= this.#config.batchRows) return true;
    // The end is near enough: what remains goes with the publish or the last batch.
    if (decoder.offsetBytes === reader.stat.sizeBytes) return false;
    return decoder.offsetBytes - this.#checkpointOffset >= this.#config.checkpointBytes ||
      performance.now() - this.#checkpointAt >= this.#config.checkpointMs;
  }

  /** Starts to stage what is ready, once the batch before has arrived; does not wait for it. */
  async #stage(decoder: MpackDecoder, hasher: Sha256, reader: BlobReader): Promise<void> {
    await this.#staging;
    this.#signal.throwIfAborted();
    const rows = decoder.take();
    this.#lastBatch = rows;
    const batch = this.#batches++, isFirst = !this.#hasStaged;
    this.#hasStaged = true;
    this.#rowsStaged += rows.length;
    this.#checkpointOffset = decoder.offsetBytes;
    this.#checkpointAt = performance.now();
    const { counts, offsetBytes } = decoder;
    const progress = {
      bytes: offsetBytes,
      size_bytes: reader.stat.sizeBytes,
      objects: counts.objects,
      read_bytes: this.#readBytes,
    };
    const state = decoder.save();
    const partial = state && {
      version: CHECKPOINT_VERSION,
      offset_bytes: offsetBytes,
      rows_staged: this.#rowsStaged,
      batches: this.#batches,
      etag: reader.stat.etag,
      size_bytes: reader.stat.sizeBytes,
      decoder: state,
    };
    // Asked for now, in the order of the bytes; answered when the hasher has got that far.
    const midstate = partial && hasher.save();
    this.#staging = this.#send(
      { rows, batch, isFirst, progress },
      partial,
      midstate,
    );
    this.#staging.catch((error) => this.#stop.abort(error));
  }

  async #send(
    batch: Omit<StageBatch, "leaseMs" | "checkpoint" | "repoId">,
    partial: Omit<Checkpoint, "midstate"> | undefined,
    saving: Promise<Uint8Array | undefined> | undefined,
  ): Promise<void> {
    const midstate = await saving;
    // A successor that goes on from here does not see these objects again.
    await this.#materializer?.settled();
    // Without a state the older checkpoint stays: it counts only the batches before it.
    const checkpoint = partial && midstate && { ...partial, midstate: midstate.toHex() };
    const sentAt = performance.now();
    const { leaseMs } = this.#config;
    const { cancelRequested } = await stageBatch(this.#context.db, this.#job, {
      ...batch,
      repoId: this.#job.repoId,
      leaseMs,
      checkpoint,
    });
    this.#context.onRenewed?.(sentAt);
    this.#uncollectedRows += batch.rows.length;
    if (this.#uncollectedRows >= COLLECT_ROWS) {
      this.#uncollectedRows = 0;
      trimHeap();
    }
    if (cancelRequested) throw new CancelledError("Cannot go on: the job was cancelled");
  }

  async #prove(reader: BlobReader, decoder: MpackDecoder, hasher: Sha256): Promise<void> {
    const { sizeBytes } = reader.stat, found = decoder.offsetBytes;
    if (found !== sizeBytes) {
      throw new InvalidMpackError(
        "size-mismatch",
        `Cannot accept the pack: the store says ${sizeBytes} bytes, it sent ${found}`,
      );
    }
    const key = withPrefix(await hasher.digest());
    if (key !== this.#job.mpackKey) {
      throw new InvalidMpackError(
        "digest-mismatch",
        `Cannot accept the pack: its bytes have the key ${key}, not ${this.#job.mpackKey}`,
      );
    }
  }

  #checkDeclared(decoder: MpackDecoder): void {
    const declared = this.#job.declaredObjects, { objects } = decoder.counts;
    if (declared !== undefined && declared !== objects) {
      throw new InvalidMpackError(
        "declared-count-mismatch",
        `Cannot accept the pack: ${declared} objects were declared, it has ${objects}`,
      );
    }
  }

  /** Takes back the blobs of a pack that was refused or cancelled; a retry would want them. */
  async #removeBlobs(decoder: MpackDecoder, error: unknown): Promise<void> {
    const isFinal = error instanceof InvalidMpackError || error instanceof CancelledError;
    if (this.#materializer === undefined || !isFinal) return;
    await this.settle();
    const rest = this.#inline ?? decoder.take();
    // What cannot be taken back now, gc finds later.
    await removeUnwanted(this.#job, this.#context, {
      batches: this.#batches,
      objectIds: [...(this.#lastBatch ? objectIdsOf(this.#lastBatch) : []), ...objectIdsOf(rest)],
    }).catch(() => {});
  }

  #report(phase: IndexProgress["phase"], decoder: MpackDecoder, reader: BlobReader): void {
    this.#context.onProgress?.({
      phase,
      bytes: decoder.offsetBytes,
      sizeBytes: reader.stat.sizeBytes,
      objects: decoder.counts.objects,
    });
  }
}
