/**
 * The result of indexing one mpack: the same for the library, `--json` and the job row.
 *
 * @module
 */

import type { QuotaState } from "../../errors.ts";
import type { BranchReport } from "../history/move_branch.ts";

/** How many objects of a pack were written as their own blobs. */
export interface MaterializeCounts {
  /** Blobs written by this attempt. */
  readonly written: number;
  /** Blobs that were there already. */
  readonly existing: number;
  /** Objects whose content does not hash to their id: they get no blob, and readers refuse them. */
  readonly mismatched: number;
}

/** The result of an `mpack.index` job; in snake_case because it is stored and printed unchanged. */
export interface IndexResult {
  /** The job. */
  readonly job_id: string;
  /** The repo whose refs were written. */
  readonly repo_id: string;
  /** `sha256:` and the hex digest of the pack's bytes, proved. */
  readonly mpack_key: string;
  /** Length of the pack in bytes. */
  readonly size_bytes: number;
  /** Objects in the pack, duplicates included. */
  readonly objects_total: number;
  /** Rows new in `musehub_objects`. */
  readonly objects_written: number;
  /** Rows new or repaired in `musehub_object_refs`. */
  readonly object_refs_written: number;
  /** Objects that repeat an id of the same pack. */
  readonly duplicate_objects: number;
  /** Commits new to the repo. */
  readonly commits_written: number;
  /** Snapshots new to the repo. */
  readonly snapshots_written: number;
  /** Tags new to the repo, or moved. */
  readonly tags_written: number;
  /** Snapshots that were left out because no known rule makes their id. */
  readonly records_unverified?: number;
  /** What is probably not meant, by code: `no-manifest` if no snapshot names the objects. Left out where there is none. */
  readonly warnings?: readonly string[];
  /** Limits of the repo or its owner of which 80 % or more are used. */
  readonly quota_warnings?: readonly QuotaState[];
  /** What became of the branch that the job names. */
  readonly branch?: BranchReport;
  /** Commits in the pack. */
  readonly commits: number;
  /** Snapshots in the pack. */
  readonly snapshots: number;
  /** Tags in the pack. */
  readonly tags: number;
  /** Batches that were staged; 0 if all rows went into the publish. */
  readonly batches: number;
  /** Where this attempt continued an earlier one; 0 if it began at the first byte. */
  readonly resumed_from_byte: number;
  /** Bytes that this attempt hashed: `size_bytes` less `resumed_from_byte`. */
  readonly hashed_bytes: number;
  /** The SHA-256 engine: `simd`, `wasm` or `native`; `MPACK_HASH=auto` chooses. */
  readonly hash_engine: string;
  /**
   * Bytes known to have been read more than once, by all attempts: because a checkpoint did not fit,
   * or a rejected pack was read again. Not counted is what a killed worker read after its last
   * checkpoint; that is less than one checkpoint interval.
   */
  readonly reread_bytes: number;
  /** The objects as their own blobs, if that was requested. */
  readonly materialized?: MaterializeCounts;
  /** Milliseconds this attempt took. */
  readonly elapsed_ms: number;
  /** The same by phase: until the first byte, until the proof, until published. */
  readonly phases_ms: { readonly open: number; readonly stream: number; readonly publish: number };
}

/** The order for readers; jsonb sorts keys by length. */
const ORDER: readonly string[] = [
  "job_id",
  "repo_id",
  "mpack_key",
  "size_bytes",
  "objects_total",
  "objects_written",
  "object_refs_written",
  "duplicate_objects",
  "commits_written",
  "snapshots_written",
  "tags_written",
  "records_unverified",
  "warnings",
  "branch",
  "quota_warnings",
  "commits",
  "snapshots",
  "tags",
  "batches",
  "resumed_from_byte",
  "hashed_bytes",
  "hash_engine",
  "reread_bytes",
  "elapsed_ms",
  "phases_ms",
] satisfies (keyof IndexResult)[];

/** A result from a job's row in that order. Fields of later versions come last. */
export function resultOf(stored: unknown): IndexResult {
  const given = stored as Readonly<Record<string, unknown>>, result: Record<string, unknown> = {};
  for (const key of ORDER) if (key in given) result[key] = given[key];
  return Object.assign(result, given) as unknown as IndexResult;
}

/**
 * A job's result as its tenant may see it. `objects_written` counts rows that no repo had before, so
 * it would tell a tenant whether another one has an object. A tenant gets the number of objects new
 * to the repo instead. Results of other job types are returned unchanged.
 */
export function resultForTenant<R extends object>(result: R): R {
  if (!("objects_written" in result && "object_refs_written" in result)) return result;
  return { ...result, objects_written: result.object_refs_written };
}
