/**
 * What indexing one mpack did: one shape for the library, `--json` and the job row.
 *
 * @module
 */

/** What became of the objects of a pack as blobs of their own. */
export interface MaterializeCounts {
  /** Blobs written by this attempt. */
  readonly written: number;
  /** Blobs that were there already. */
  readonly kept: number;
  /** Objects whose content does not hash to their id: there is no blob, and readers refuse them. */
  readonly lying: number;
}

/** The result of an `mpack.index` job; snake_case because it is stored and printed as it is. */
export interface IndexResult {
  /** The job that did it. */
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
  /** Rows new in `musehub_object_refs`, or healed there. */
  readonly object_refs_written: number;
  /** Objects that the pack has a second time. */
  readonly duplicate_objects: number;
  /** Commits in the pack. */
  readonly commits: number;
  /** Snapshots in the pack. */
  readonly snapshots: number;
  /** Tags in the pack. */
  readonly tags: number;
  /** Statements that staged rows; 0 when one statement published them all. */
  readonly batches: number;
  /** Where this attempt took up an earlier one's work; 0 if it began at the beginning. */
  readonly resumed_from_byte: number;
  /** Bytes that this attempt hashed: `size_bytes` less `resumed_from_byte`. */
  readonly hashed_bytes: number;
  /**
   * Bytes known to have been read more than once, by all attempts: after a checkpoint that did not
   * fit, or a rejection that the store was asked about once more. What a killed worker had read
   * since its last checkpoint is not known, and less than one checkpoint interval.
   */
  readonly reread_bytes: number;
  /** The objects as blobs of their own, where that was asked for. */
  readonly materialized?: MaterializeCounts;
  /** Milliseconds this attempt took. */
  readonly elapsed_ms: number;
  /** The same by phase: until the first byte, until the proof, and the publishing statement. */
  readonly phases_ms: { readonly open: number; readonly stream: number; readonly publish: number };
}

/** The order in which people read a result; jsonb sorts keys by length. */
const ORDER: readonly string[] = [
  "job_id",
  "repo_id",
  "mpack_key",
  "size_bytes",
  "objects_total",
  "objects_written",
  "object_refs_written",
  "duplicate_objects",
  "commits",
  "snapshots",
  "tags",
  "batches",
  "resumed_from_byte",
  "hashed_bytes",
  "reread_bytes",
  "elapsed_ms",
  "phases_ms",
] satisfies (keyof IndexResult)[];

/** A result as the job's row has it, in that order; what a later version added comes last. */
export function resultOf(stored: unknown): IndexResult {
  const given = stored as Readonly<Record<string, unknown>>, result: Record<string, unknown> = {};
  for (const key of ORDER) if (key in given) result[key] = given[key];
  return Object.assign(result, given) as unknown as IndexResult;
}

/**
 * A job's result as the pushing repo may see it: `objects_written` counts the rows that no repo had
 * before, which would tell whoever pushes an id whether somebody else has it. To a tenant an object
 * is new if it is new to the repo. Results of other jobs stay as they are.
 */
export function resultForTenant<R extends object>(result: R): R {
  if (!("objects_written" in result && "object_refs_written" in result)) return result;
  return { ...result, objects_written: result.object_refs_written };
}
