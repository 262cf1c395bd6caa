import type { QuotaRefusal } from "../quotas/quota.ts";

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
    /** The branch is no longer where it was expected: decide again. */
    readonly outcome: "branch-moved";
    /** Where it is; null if it is gone. */
    readonly head: string | null;
  }
  | {
    /** Commits of the repo wait for an ancestor, and nobody has looked whether the pack brings it. */
    readonly outcome: "cut-commits";
  }
  | {
    /** One id comes with two sizes, so at least one of its contents is not the object. */
    readonly outcome: "conflict";
    /** The id. */
    readonly objectId: string;
    /** Where one of its contents begins. */
    readonly firstOffset: number;
    /** Where the other begins. */
    readonly secondOffset: number;
  }
  | {
    /** The repo or its owner would have more than a quota allows. */
    readonly outcome: "over-quota";
    /** The quota. */
    readonly refusal: QuotaRefusal;
  }
  | {
    /** The repo was deleted since the job began. */
    readonly outcome: "repo-deleted";
  }
  | {
    /** `gc` is deleting the blob, or the repo. */
    readonly outcome: "tombstoned";
  }
  | {
    /** `gc` has deleted history of the repo since the attempt began, so start over. */
    readonly outcome: "held";
  }
  | {
    /** The staged rows are not all there: the database crashed, so start over. */
    readonly outcome: "rows-missing";
    /** How many were found. */
    readonly found: number;
    /** How many there should be. */
    readonly expected: number;
  };
