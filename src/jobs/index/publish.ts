import { findPublished } from "../../db/publish/publish.ts";
import type { PublishOutcome } from "../../db/publish/publish_outcome.ts";
import { Publisher } from "../../db/publish/publisher.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { quotaError } from "../../db/quotas/quota.ts";
import { ConfigError, DatabaseError, InvalidMpackError, StoreError } from "../../errors.ts";
import type { ObjectColumns } from "../../lib/object_columns.ts";
import type { IndexContext, IndexJob } from "./context.ts";
import type { OpenPack } from "./open_pack.ts";
import type { HistoryResult, PackHistory } from "./pack_history.ts";
import type { IndexPayload } from "./payload.ts";
import type { Database } from "../../db/client/database.ts";
import { tombstonesLapseMs } from "../../db/tombstones.ts";
import { counted } from "../../lib/numbers.ts";
import { packWarnings } from "../../lib/text/pack_warnings.ts";
import { type IndexResult, type MaterializeCounts, resultOf } from "./result.ts";
import type { Stager } from "./stager.ts";

/** A proved pack, and what the result says of it. */
interface ProvedPack {
  readonly pack: OpenPack;
  readonly blobKey: string;
  /** The rows that are not staged. */
  readonly inline: ObjectColumns;
  readonly history: Pick<PackHistory, "published" | "result" | "decide" | "settleCut">;
  readonly stager: Pick<Stager, "batches" | "isFresh">;
  /** Bytes known to have been read for the job, by all attempts. */
  readonly readBytes: number;
  readonly materialized: MaterializeCounts | undefined;
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly openedAt: number;
  readonly provedAt: number;
  /** Called before the statement is sent: it locks the job's row, so heartbeats must stop. */
  readonly onSend: () => void;
  /** Stops the publish before that statement. */
  readonly signal: AbortSignal;
}

/**
 * Publishes a proved pack: its rows become visible and the job is done, or an error is thrown.
 *
 * @throws {InvalidMpackError} `duplicate-key` if an id comes twice with two sizes; `diverged` if the
 * branch of a strict job has moved elsewhere.
 * @throws {QuotaError} If a quota of the repo or its owner does not allow the pack.
 * @throws {StoreError} `blob-missing` if gc is deleting the blob.
 * @throws {DatabaseError} If the database is unavailable, or has lost staged rows.
 * @throws {LeaseLostError} If another worker holds the job.
 */
export async function publishPack(
  job: IndexJob,
  { db, config, publisher = new Publisher(db) }: IndexContext,
  proved: ProvedPack,
): Promise<IndexResult> {
  const { pack: { reader, decoder }, blobKey, inline, history, stager, onSend, signal } = proved;
  const { mpack_key: mpackKey } = job.payload;
  let published: PublishOutcome;
  try {
    for (;;) {
      published = await publisher.publish(job, {
        repoId: job.repoId,
        mpackKey,
        storageUri: `mpack://${mpackKey}`,
        blobKey,
        etag: reader.stat.etag,
        sizeBytes: reader.stat.sizeBytes,
        ...decoder.counts,
        sortedUnique: decoder.sortedUnique,
        isStageFresh: stager.isFresh,
        batches: stager.batches,
        ...(history.published && { history: history.published }),
        isPush: isPush(job.payload, history.result),
        quotaDefaults: quotaDefaultsOf(config),
        inline,
        result: knownResult(job.payload, proved),
      }, { deadlineMs: config.publishTimeoutMs, onSend, signal });
      if (published.outcome === "branch-moved") await history.decide();
      else if (published.outcome === "cut-commits") await history.settleCut();
      else break;
    }
  } catch (error) {
    // The statement may have succeeded and its answer been lost. Then the job's row says so.
    if (!(error instanceof DatabaseError)) throw error;
    const result = await findPublished(db, job).catch(() => undefined);
    if (result === undefined) throw error;
    return resultOf(result);
  }
  if (published.outcome === "published") return resultOf(published.result);
  if (published.outcome === "tombstoned") throw await tombstoned(db, job.repoId, blobKey);
  throw refusal(published);
}

/** The result without the counts that the publish finds. */
function knownResult(payload: IndexPayload, proved: ProvedPack): Record<string, unknown> {
  const { pack, stager, readBytes, materialized, startedAt, openedAt, provedAt } = proved;
  const { objects, commits, snapshots, tags } = pack.decoder.counts;
  const { sizeBytes } = pack.reader.stat, { bytesHashed } = pack.hasher;
  // A push in records brings its snapshots after the objects.
  const warnings = payload.partial ? [] : packWarnings(pack.decoder.counts);
  return {
    mpack_key: payload.mpack_key,
    size_bytes: sizeBytes,
    objects_total: objects,
    commits,
    snapshots,
    tags,
    batches: stager.batches,
    resumed_from_byte: pack.openedAtByte,
    hashed_bytes: bytesHashed,
    hash_engine: pack.hashEngine,
    reread_bytes: Math.max(0, readBytes - sizeBytes),
    ...(materialized && { materialized }),
    ...(warnings.length > 0 && { warnings }),
    ...proved.history.result,
    elapsed_ms: Math.round(provedAt - startedAt),
    phases_ms: {
      open: Math.round(openedAt - startedAt),
      stream: Math.round(provedAt - openedAt),
    },
  };
}

/**
 * Whether the pack is needed only as long as a branch or tag reaches what it holds. Not if its branch
 * could not move, or a record cannot be checked: its job has kept what it could.
 */
function isPush({ branch, strict, partial }: IndexPayload, result: HistoryResult): boolean {
  if (result.records_unverified !== undefined) return false;
  return partial === true ||
    branch !== undefined && (strict === true || result.branch?.moved === true);
}

/** Says when the blob can be pushed again: a gc that was killed leaves its tombstones behind. */
async function tombstoned(db: Database, repoId: string, blobKey: string): Promise<StoreError> {
  const leftMs = await tombstonesLapseMs(db, [repoId, blobKey]).catch(() => 0);
  const minutes = Math.max(1, Math.ceil(leftMs / 60_000));
  return new StoreError(
    "blob-missing",
    `Cannot publish the pack: gc is deleting its repo, or ${blobKey}, which was unused for long; ` +
      "push it again when that gc has ended. If gc was killed, that is possible in " +
      `${counted(minutes, "minute")}, or once another gc has run that began 15 minutes after it`,
  );
}

function refusal(
  published: Exclude<
    PublishOutcome,
    { readonly outcome: "published" | "branch-moved" | "cut-commits" | "tombstoned" }
  >,
): Error {
  switch (published.outcome) {
    case "rows-missing":
      return new DatabaseError(
        `Cannot publish the pack: ${published.found} of ${
          counted(published.expected, "row")
        } staged; ` +
          "the next attempt starts over",
      );
    case "over-quota":
      return quotaError(published.refusal);
    case "repo-deleted":
      return new ConfigError("Cannot publish the pack: its repo was deleted", {
        code: "repo-not-found",
      });
    case "held":
      return new DatabaseError(
        "Cannot publish the pack: gc is deleting history of its repo that no branch reaches, which " +
          "the pack may count on; the next attempt starts over",
      );
    case "conflict":
      return new InvalidMpackError(
        "duplicate-key",
        `Cannot accept the pack: ${published.objectId} comes twice with two sizes, ` +
          `first at byte ${published.firstOffset}, again`,
        { offsetBytes: published.secondOffset },
      );
  }
}
