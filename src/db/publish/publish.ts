import { DatabaseError } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import { execute } from "../client/execute.ts";
import { type Lease, leaseLost } from "../lease.ts";
import { publishStatement } from "./publish_statement.ts";
import type { ObjectColumns } from "./stage.ts";

/** Millions of rows take minutes, more so into large tables on slow disks. */
export const PUBLISH_DEADLINE_MS = 60 * 60_000;

/** A proved pack, and where its rows are. */
export interface PublishPack {
  /** The repo it was pushed to. */
  readonly repoId: string;
  /** Its name, which the digest has matched. */
  readonly mpackKey: string;
  /** Its key in the store. */
  readonly blobKey: string;
  /** The version of the blob that was read. */
  readonly etag: string;
  /** Its length in bytes. */
  readonly sizeBytes: number;
  /** Commits in it. */
  readonly commits: number;
  /** Snapshots in it. */
  readonly snapshots: number;
  /** Tags in it. */
  readonly tags: number;
  /** Objects decoded, repeated ones included; as many rows must be found. */
  readonly objects: number;
  /** What `musehub_objects` says of where the objects lie. */
  readonly storageUri: string;
  /** True if the decoder saw the ids in strictly rising order: no search for repeated ones then. */
  readonly sortedUnique: boolean;
  /** How many batches were staged, by this attempt and those it continues. */
  readonly batches: number;
  /**
   * True if this attempt has staged all batches, with `sortedUnique`: what they note of known ids is
   * fresh then. Rows that were new are inserted without a look for conflicts; if one has appeared
   * since, the statement fails as a whole and another one looks.
   */
  readonly isStageFresh?: boolean;
  /** Rows that were not staged: a whole small pack, or the last batch of a large one. */
  readonly inline?: ObjectColumns;
  /**
   * The job's result as far as it is known. The statement adds `job_id`, `repo_id`, the counts of
   * written and repeated objects and `phases_ms.publish`, and raises `elapsed_ms` by that.
   */
  readonly result: Record<string, unknown>;
}

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
    readonly outcome: "doomed";
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
  if (row.isDoomed) return { outcome: "doomed" };
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
