import type { ObjectColumns } from "../../lib/object_columns.ts";
import type { BranchMove } from "../history/branches.ts";
import type { QuotaDefaults } from "../quotas/quota.ts";
import type { GraphRow, RecordRows } from "./record_rows.ts";

/** The records of a pack, and where they are. */
export interface PackHistory {
  /** Those that were not staged. */
  readonly rows: RecordRows;
  /** Rows of the graph that were not staged. */
  readonly graph: readonly GraphRow[];
  /** How many of the staged batches have records. */
  readonly recordBatches: number;
  /** How many batches of rows of the graph were staged. */
  readonly graphBatches: number;
  /** Whether commits of the repo that wait for an ancestor were looked at. */
  readonly sawCut: boolean;
  /** The branch that moves. */
  readonly branch?: BranchMove;
}

/** A proved pack, and where its rows are. */
export interface PublishPack {
  /** The repo it was pushed to. */
  readonly repoId: string;
  /** Its name, which its digest has matched. */
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
  /** True if the decoder saw the ids in strictly rising order, so that no sort is needed. */
  readonly sortedUnique: boolean;
  /** How many batches were staged, by this attempt and those it continues. */
  readonly batches: number;
  /**
   * True if this attempt has staged all batches: what they note of known ids is fresh then. Rows that
   * were new are inserted without a conflict check; where one has appeared since, all are checked.
   */
  readonly isStageFresh?: boolean;
  /** Its history, and the branch that it moves. Default: none. */
  readonly history?: PackHistory;
  /** Whether only branches and tags keep what it holds. Default: it is needed without any. */
  readonly isPush?: boolean;
  /** The limits of tenants that have none of their own. Default: none. */
  readonly quotaDefaults?: QuotaDefaults;
  /** Rows that were not staged: a whole small pack, or the last batch of a large one. */
  readonly inline?: ObjectColumns;
  /**
   * The job's result as far as it is known. The publish adds `job_id`, `repo_id`, the counts of
   * written rows and repeated objects and `phases_ms.publish`, and raises `elapsed_ms` by that.
   */
  readonly result: Record<string, unknown>;
}
