import { arrayLiteral } from "../client/array_literal.ts";
import type { ObjectColumns } from "../../lib/object_columns.ts";
import type { Database } from "../client/database.ts";
import type { DatabaseError } from "../../errors.ts";
import type { Lease } from "../lease.ts";
import { givenDefaults, type QuotaRefusal } from "../quotas/quota.ts";
import type { OptimisticInsert } from "./optimistic_insert.ts";
import type { PublishOutcome } from "./publish_outcome.ts";
import type { PublishPack } from "./publish_pack.ts";
import type { SortedRows } from "./prepare.ts";
import { hasSqlState } from "./sql_state.ts";

/** What usage_1.sql raises. */
const OVER_QUOTA = "MPQ01";

/** A proved pack, and the job that brings it. */
export interface LeasedPack {
  /** The job. */
  readonly lease: Lease;
  /** The pack. */
  readonly pack: PublishPack;
  /** Where its rows are, if they are staged. Default: `pack.inline` has all of them. */
  readonly staged?: SortedRows;
  /** Milliseconds that its publish took before this statement. Default 0. */
  readonly elapsedMs?: number;
}

/** How to publish packs. */
export interface PublishPacksOptions {
  /** Milliseconds the statement may take. */
  readonly deadlineMs: number;
  /** Which ids earlier packs found known; learns from these. Default: every id is checked. */
  readonly optimistic?: OptimisticInsert;
  /** Milliseconds to wait for a lock before the statement fails. Default: as long as it takes. */
  readonly lockTimeoutMs?: number;
}

interface Row {
  readonly job_id: string;
  readonly outcome: Exclude<PublishOutcome["outcome"], "over-quota">;
  readonly rows_found: number;
  readonly conflict: { object_id: string; first_offset: number; second_offset: number } | null;
  readonly mpack_id: number;
  readonly objects: number;
  readonly refs: number;
  readonly duplicate_objects: number;
  readonly healed_refs: number;
  readonly result: Record<string, unknown>;
  readonly known_key: string | null;
  readonly head: string | null;
}

/**
 * Publishes packs in one statement: each wholly or not at all, under its own fence.
 *
 * A statement for each pack spends most of its time on itself (plan, snapshot, commit).
 *
 * @param packs No two with one mpack key. One whose rows are staged is alone.
 * @returns What became of each, by job. A job that another worker holds is not among them.
 * @throws {DatabaseError} {@link isOverQuota} if one of several packs is: none is published then.
 */
export async function publishPacks(
  db: Database,
  packs: readonly LeasedPack[],
  options: PublishPacksOptions,
): Promise<Map<string, PublishOutcome>> {
  try {
    return await sendPacks(db, packs, options);
  } catch (error) {
    if (packs.length > 1 || !isOverQuota(error)) throw error;
    const { detail } = error.cause as { readonly detail: string };
    const refusal = JSON.parse(detail) as QuotaRefusal;
    return new Map([[packs[0].lease.jobId, { outcome: "over-quota", refusal }]]);
  }
}

/** Whether the statement failed because a quota does not allow one of its packs. */
export function isOverQuota(error: unknown): error is DatabaseError {
  return hasSqlState(error, OVER_QUOTA);
}

async function sendPacks(
  db: Database,
  packs: readonly LeasedPack[],
  { deadlineMs, optimistic, lockTimeoutMs }: PublishPacksOptions,
): Promise<Map<string, PublishOutcome>> {
  const inlines = packs.map(({ pack, staged }) => staged ? undefined : pack.inline);
  const places = inlines.flatMap((rows, i) => new Array<number>(rows?.length ?? 0).fill(i + 1));
  const filled = inlines.filter((rows) => rows !== undefined && rows.length > 0);
  const idsText = filled.map((rows) => rows!.idsText).join(",");
  const isOptimistic = optimistic?.isDue() === true;
  const maybeKnown = isOptimistic && idsText !== ""
    ? arrayLiteral(idsText.split(",").map((id) => optimistic.mayBeKnown(id) ? "t" : "f"))
    : null;
  const action = packs.length === 1 ? "publish a pack" : "publish packs";
  // gc finds running publishes by the comment in this statement (see tombstones.ts).
  const rows = await db.query<Row>(action, { deadlineMs })`
    /* mpackd publish */ select * from mpackd_publish_2(
      ${JSON.stringify(packs.map(describe))}::text::jsonb,
      ${arrayLiteral(places)}::integer[],
      ${`{${idsText}}`}::text[],
      ${arrayLiteral(filled.flatMap((rows) => rows!.contentOffsets))}::bigint[],
      ${arrayLiteral(filled.flatMap((rows) => rows!.sizesBytes))}::bigint[],
      ${encodingsOf(filled)}::text[],
      ${maybeKnown}::boolean[],
      ${lockTimeoutMs ?? null}::integer,
      ${describeHistory(packs)}::text::jsonb)`;
  if (isOptimistic) optimistic.learn(rows.find((row) => row.known_key !== null)?.known_key);
  const expected = new Map(packs.map(({ lease, pack }) => [lease.jobId, pack.objects]));
  return new Map(rows.map((row) => [row.job_id, outcomeOf(row, expected.get(row.job_id)!)]));
}

/** Null if all are plain. */
function encodingsOf(filled: readonly (ObjectColumns | undefined)[]): string | null {
  if (filled.every((rows) => rows!.encodings === undefined)) return null;
  return arrayLiteral(
    filled.flatMap((rows) => rows!.encodings ?? new Array<null>(rows!.length).fill(null)),
  );
}

/** What history_2.sql takes; null if no pack has any. */
function describeHistory(packs: readonly LeasedPack[]): string | null {
  const described = packs.flatMap(({ pack: { history, batches } }, i) => {
    if (history === undefined) return [];
    const { rows, graph, recordBatches, graphBatches, sawCut, branch } = history;
    return [{
      place: i + 1,
      end_batch: batches,
      record_batches: recordBatches,
      graph_batches: graphBatches,
      saw_cut: sawCut,
      ...rows,
      graph,
      ...(branch && { branch }),
    }];
  });
  return described.length === 0 ? null : JSON.stringify(described);
}

/** One `mpackd_pack_1`. */
function describe({ lease, pack, staged, elapsedMs = 0 }: LeasedPack): Record<string, unknown> {
  const { quotaDefaults } = pack;
  return {
    ...(quotaDefaults && { quota_defaults: givenDefaults(quotaDefaults) }),
    job_id: lease.jobId,
    fence: lease.fence,
    repo_id: pack.repoId,
    mpack_key: pack.mpackKey,
    blob_key: pack.blobKey,
    etag: pack.etag,
    storage_uri: pack.storageUri,
    size_bytes: pack.sizeBytes,
    objects: pack.objects,
    commits: pack.commits,
    snapshots: pack.snapshots,
    tags: pack.tags,
    rows_in_memory: pack.inline?.length ?? 0,
    first_batch: staged?.firstBatch ?? 0,
    end_batch: staged?.endBatch ?? 0,
    duplicates: staged?.duplicates ?? 0,
    is_sorted: pack.sortedUnique,
    is_fresh: pack.isStageFresh === true,
    is_push: pack.isPush === true,
    elapsed_ms: Math.round(elapsedMs),
    result: pack.result,
  };
}

function outcomeOf(row: Row, expected: number): PublishOutcome {
  switch (row.outcome) {
    case "rows-missing":
      return { outcome: "rows-missing", found: row.rows_found, expected };
    case "conflict":
      return {
        outcome: "conflict",
        objectId: row.conflict!.object_id,
        firstOffset: row.conflict!.first_offset,
        secondOffset: row.conflict!.second_offset,
      };
    case "repo-deleted":
      return { outcome: "repo-deleted" };
    case "tombstoned":
      return { outcome: "tombstoned" };
    case "held":
      return { outcome: "held" };
    case "branch-moved":
      return { outcome: "branch-moved", head: row.head };
    case "cut-commits":
      return { outcome: "cut-commits" };
    case "published":
      return {
        outcome: "published",
        mpackId: row.mpack_id,
        objectsWritten: row.objects,
        objectRefsWritten: row.refs,
        duplicateObjects: row.duplicate_objects,
        healedRefs: row.healed_refs,
        result: row.result,
      };
  }
}
