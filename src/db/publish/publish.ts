import type { Database } from "../client/database.ts";
import { type Lease, leaseLost } from "../lease.ts";
import { prepare } from "./prepare.ts";
import type { PublishOutcome } from "./publish_outcome.ts";
import type { PublishPack } from "./publish_pack.ts";
import { type LeasedPack, publishPacks } from "./publish_packs.ts";
import { recordBatches, writeRecords } from "./stage_records.ts";
import { writeObjects } from "./write_objects.ts";

/** Millions of rows take minutes, more so into large tables on slow disks. */
export const PUBLISH_DEADLINE_MS = 60 * 60_000;
/**
 * Most rows of the table of all repos that one statement writes. It holds them for some 50 ms, and so
 * long another repo that has an id in common waits.
 */
export const BATCH_ROWS = 8_000;

/** How to publish one pack. */
export interface PublishOptions {
  /** Milliseconds each statement may take. Default: an hour. */
  readonly deadlineMs?: number;
  /** Called right before the statement that finishes the job. */
  readonly onSend?: () => void;
  /** Stops the publish before its last statement; nothing is visible then. */
  readonly signal?: AbortSignal;
}

/**
 * Makes a proved pack visible and its job done: refs, pack and job in one statement, all or nothing.
 *
 * The objects of a pack with staged rows are written before that, in short batches, because all
 * repos share their table: one statement for a million of them would make every repo that has one
 * id in common wait for its end. What forbids the publish is looked for first, so a refused pack
 * leaves no objects. A crash between two batches leaves objects that no ref names; the next attempt
 * writes the others and goes on counting.
 *
 * While the last statement runs, the job's row is locked, so the lease cannot be taken even if it
 * lapses, and a heartbeat would wait: stop those in `onSend`. Publishing a pack again changes no row
 * but the job's.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 * @throws {CancelledError} If the job is to be cancelled.
 */
export async function publish(
  db: Database,
  lease: Lease,
  pack: PublishPack,
  options: PublishOptions = {},
): Promise<PublishOutcome> {
  const { deadlineMs = PUBLISH_DEADLINE_MS, onSend, signal } = options;
  if (isInMemory(pack)) {
    onSend?.();
    return await publishOne(db, { lease, pack }, deadlineMs);
  }
  const startedAt = performance.now();
  const prepared = await prepare(db, lease, pack, { deadlineMs });
  if (prepared.outcome !== "ready") return prepared;
  const { storageUri, isStageFresh: isFresh = false } = pack;
  for (const { batch, rows } of prepared.newBatches) {
    for (let firstRow = 1; firstRow <= rows; firstRow += BATCH_ROWS) {
      signal?.throwIfAborted();
      const lastRow = firstRow + BATCH_ROWS - 1;
      await writeObjects(db, lease, { batch, firstRow, lastRow, storageUri, isFresh });
    }
  }
  if (pack.history !== undefined && pack.history.recordBatches > 0) {
    for (const batch of await recordBatches(db, lease.jobId, pack.batches)) {
      signal?.throwIfAborted();
      await writeRecords(db, lease, { batch, storageUri });
    }
  }
  signal?.throwIfAborted();
  onSend?.();
  const elapsedMs = performance.now() - startedAt;
  return await publishOne(db, { lease, pack, staged: prepared.rows, elapsedMs }, deadlineMs);
}

/** Whether one short statement publishes the pack. */
export function isInMemory({ batches, inline }: PublishPack): boolean {
  return batches === 0 && (inline?.length ?? 0) <= BATCH_ROWS;
}

async function publishOne(
  db: Database,
  pack: LeasedPack,
  deadlineMs: number,
): Promise<PublishOutcome> {
  const outcomes = await publishPacks(db, [pack], { deadlineMs });
  const outcome = outcomes.get(pack.lease.jobId);
  if (outcome === undefined) throw leaseLost("publish a pack", pack.lease);
  return outcome;
}

/**
 * The result of a job that was published under this very lease; undefined if it was not.
 *
 * For a publish whose answer was lost on the way.
 */
export async function findPublished(
  db: Database,
  lease: Lease,
): Promise<Record<string, unknown> | undefined> {
  const [row] = await db.query<{ result: Record<string, unknown> }>(
    "look for the published result",
  )`
    select result from musehub_background_jobs
    where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'done'`;
  return row?.result;
}
