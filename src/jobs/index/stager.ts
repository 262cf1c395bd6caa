import { stageBatch } from "../../db/publish/stage.ts";
import { CancelledError } from "../../errors.ts";
import { trimHeap } from "../../lib/heap.ts";
import type { ObjectColumns } from "../../lib/object_columns.ts";
import { CHECKPOINT_VERSION } from "./checkpoint.ts";
import type { IndexContext, IndexJob } from "./context.ts";
import type { OpenPack } from "./open_pack.ts";
import type { PackHistory } from "./pack_history.ts";

/**
 * Rows after which trimming the heap is worth its 25 ms. Packs of large objects leave little
 * garbage, and trimming by time made their hashing thread wait a tenth of the time.
 */
const TRIM_ROWS = 80_000;

/** Bytes of records, as the decoder keeps them, after which a batch is full. */
const RECORD_BYTES = 4 * 1024 * 1024;

/** Callbacks of a stager. */
interface StagerOptions {
  /** A statement sent at this time (`performance.now()`) has renewed the lease. */
  readonly onRenewed: (sentAt: number) => void;
  /** A batch could not be staged. */
  readonly onError: (error: unknown) => void;
  /** Awaited before each statement. */
  readonly beforeSend: () => Promise<void>;
  /** Takes the records that are staged with the objects. */
  readonly history: PackHistory;
}

/** Stages a pack's rows in batches, each with a checkpoint. At most one batch is under way. */
export class Stager {
  /** Rows staged so far, including those of earlier attempts. */
  rowsStaged = 0;
  /** Batches staged so far, including those of earlier attempts. */
  batches = 0;
  /** Whether this attempt has staged all batches. */
  isFresh = true;
  /** The last batch, whose statement may be under way. */
  lastBatch: ObjectColumns | undefined;
  readonly #job: IndexJob;
  readonly #context: IndexContext;
  readonly #options: StagerOptions;
  #sending: Promise<void> = Promise.resolve();
  #hasSent = false;
  #checkpointOffset = 0;
  #checkpointAt = performance.now();
  #untrimmedRows = 0;

  constructor(job: IndexJob, context: IndexContext, options: StagerOptions) {
    this.#job = job;
    this.#context = context;
    this.#options = options;
  }

  /** Counts on from where the pack was opened. */
  continueFrom({ rowsStaged, batches, decoder }: OpenPack): void {
    this.rowsStaged = rowsStaged;
    this.batches = batches;
    this.isFresh = batches === 0;
    this.#checkpointOffset = decoder.offsetBytes;
  }

  /** Whether a batch is full, or a checkpoint due. */
  isDue({ decoder, reader }: OpenPack): boolean {
    const { batchRows, checkpointBytes, checkpointMs } = this.#context.config;
    if (decoder.rowsReady + decoder.recordsReady >= batchRows) return true;
    if (decoder.recordBytesReady >= RECORD_BYTES) return true;
    // At the end no checkpoint is needed: the remaining rows go into the publish.
    if (decoder.offsetBytes === reader.stat.sizeBytes) return false;
    return decoder.offsetBytes - this.#checkpointOffset >= checkpointBytes ||
      performance.now() - this.#checkpointAt >= checkpointMs;
  }

  /** Starts to stage what the decoder has, after the batch before has arrived. Does not wait for it. */
  async stage(pack: OpenPack, readBytes: number): Promise<void> {
    await this.#sending;
    const { decoder, hasher, reader: { stat } } = pack, { offsetBytes } = decoder;
    const rows = this.lastBatch = decoder.take();
    const taken = this.#options.history.take(decoder.takeRecords());
    const batch = this.batches++;
    this.rowsStaged += rows.length;
    this.#checkpointOffset = offsetBytes;
    this.#checkpointAt = performance.now();
    const state = decoder.save();
    const checkpoint = state && {
      version: CHECKPOINT_VERSION,
      offset_bytes: offsetBytes,
      rows_staged: this.rowsStaged,
      batches: this.batches,
      etag: stat.etag,
      size_bytes: stat.sizeBytes,
      decoder: state,
    };
    // Requested now, so that it covers the bytes so far; answered when the hasher gets there.
    const midstate = checkpoint && hasher.save();
    const progress = {
      bytes: offsetBytes,
      size_bytes: stat.sizeBytes,
      objects: decoder.counts.objects,
      read_bytes: readBytes,
    };
    this.#sending = this.#send({ rows, batch, progress }, { checkpoint, midstate, taken });
    this.#sending.catch(this.#options.onError);
  }

  /** Waits for the batch under way. */
  async settled(): Promise<void> {
    await this.#sending;
  }

  async #send(
    batch: { rows: ObjectColumns; batch: number; progress: object },
    { checkpoint, midstate: saving, taken }: {
      readonly checkpoint: object | undefined;
      readonly midstate: Promise<Uint8Array | undefined> | undefined;
      readonly taken: ReturnType<PackHistory["take"]>;
    },
  ): Promise<void> {
    const [midstate, { rows: records, checkpoint: history }] = await Promise.all([saving, taken]);
    await this.#options.beforeSend();
    const sentAt = performance.now(), isFirst = !this.#hasSent;
    this.#hasSent = true;
    const { cancelRequested } = await stageBatch(this.#context.db, this.#job, {
      ...batch,
      isFirst,
      repoId: this.#job.repoId,
      leaseMs: this.#context.config.leaseMs,
      // Without a state the older checkpoint stays valid: it counts only the batches before it.
      checkpoint: checkpoint && midstate &&
        { ...checkpoint, history, midstate: midstate.toHex() },
      records,
    });
    this.#options.onRenewed(sentAt);
    this.#untrimmedRows += batch.rows.length;
    if (this.#untrimmedRows >= TRIM_ROWS) {
      this.#untrimmedRows = 0;
      trimHeap();
    }
    if (cancelRequested) throw new CancelledError("Cannot go on: the job was cancelled");
  }
}
