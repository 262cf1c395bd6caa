import { DatabaseError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import { execute } from "../client/execute.ts";
import { type Lease, leaseLost } from "../lease.ts";
import { publishStatement } from "./publish_statement.ts";
import type { PublishPack } from "./publish_pack.ts";

/** Millions of rows take minutes, more so into large tables on slow disks. */
export const PUBLISH_DEADLINE_MS = 60 * 60_000;

/** How a publish ended. In all cases but the first nothing was changed. */
export type PublishOutcome =
  | {
    /** The rows are visible and the job is done. */
    readonly outcome: "published";
    /** The pack's row. */
    readonly mpackId: number;
    /** Objects that no repo had before. */
    readonly objectsWritten: number;
    /** Refs that this repo did not have before. */
    readonly objectRefsWritten: number;
    /** Rows that repeated an id of the same pack. */
    readonly duplicateObjects: number;
    /** Refs whose damaged location was replaced. */
    readonly healedRefs: number;
    /** What the job's row holds now. */
    readonly result: Record<string, unknown>;
  }
  | {
    /** One id comes with two sizes, so one of them lies. */
    readonly outcome: "conflict";
    /** The id. */
    readonly objectId: string;
    /** Where one of its contents begins. */
    readonly firstOffset: number;
    /** Where the other begins. */
    readonly secondOffset: number;
  }
  | {
    /** `gc` is deleting the blob, or the repo. */
    readonly outcome: "tombstoned";
  }
  | {
    /** The staged rows are not all there: the database crashed, so start over. */
    readonly outcome: "rows-missing";
    /** How many were found. */
    readonly found: number;
    /** How many there should be. */
    readonly expected: number;
  };

/**
 * Makes a proved pack visible and its job done: one statement, all or nothing.
 *
 * While it runs the job's row is locked, so the lease cannot be taken even if it lapses, and a
 * heartbeat would wait: stop those first. Publishing a pack again changes no row but the job's.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 */
export async function publish(
  database: Database,
  lease: Lease,
  pack: PublishPack,
  { deadlineMs = PUBLISH_DEADLINE_MS }: { readonly deadlineMs?: number } = {},
): Promise<PublishOutcome> {
  const send = (pack: PublishPack) =>
    execute(database, publishStatement(database, lease, pack), {
      action: "publish a pack",
      deadlineMs,
    });
  const [row] = await send(pack).catch((error) => {
    if (!pack.isStageFresh || !isUniqueViolation(error)) throw error;
    return send({ ...pack, isStageFresh: false });
  });
  if (row === undefined) throw leaseLost("publish a pack", lease);
  if (row.found !== pack.objects) {
    return { outcome: "rows-missing", found: row.found, expected: pack.objects };
  }
  if (row.conflictId !== null) {
    return {
      outcome: "conflict",
      objectId: row.conflictId,
      firstOffset: row.firstOffset!,
      secondOffset: row.secondOffset!,
    };
  }
  if (row.isTombstoned) return { outcome: "tombstoned" };
  return {
    outcome: "published",
    mpackId: row.mpackId!,
    objectsWritten: row.objectsWritten,
    objectRefsWritten: row.objectRefsWritten,
    duplicateObjects: row.duplicates,
    healedRefs: row.healed,
    result: row.result!,
  };
}

/**
 * Whether a row had a key that was there already.
 *
 * @see {@link https://www.postgresql.org/docs/current/errcodes-appendix.html | 23505}
 */
export function isUniqueViolation(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError &&
    (error.cause as { readonly code?: unknown } | undefined)?.code === "23505";
}

/**
 * The result of a job that was published under this very lease; undefined if it was not.
 *
 * For a publish whose answer was lost on the way.
 */
export async function findPublished(
  database: Database,
  lease: Lease,
): Promise<Record<string, unknown> | undefined> {
  const [row] = await execute(
    database,
    database.sql<{ result: Record<string, unknown> }[]>`
      select result from musehub_background_jobs
      where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint and status = 'done'`,
    { action: "look for the published result" },
  );
  return row?.result;
}
