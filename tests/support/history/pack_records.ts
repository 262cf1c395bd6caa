import type { Database } from "../../../src/db/client/database.ts";
import type { BranchMove } from "../../../src/db/history/branches.ts";
import type { PackHistory } from "../../../src/db/publish/publish_pack.ts";
import { HistoryCheck } from "../../../src/jobs/history/history_check.ts";
import { sha256Hex } from "../../../src/lib/digest.ts";
import type {
  CommitRecord,
  PackRecords,
  SnapshotRecord,
  TagRecord,
} from "../../../src/lib/records.ts";
import type { MadeCommit } from "./random_graph.ts";

/** No records. */
export const NONE: PackRecords = { commits: [], snapshots: [], tags: [], branchHeads: [] };

/** The id of the snapshot that a commit of these tests names. */
export function snapshotIdOf(commitId: string): string {
  return `sha256:${sha256Hex(`snapshot of ${commitId}`)}`;
}

/** What a decoder would find: a commit and its snapshot each, with any ids. */
export function recordsOf(
  commits: readonly MadeCommit[],
  changes: {
    readonly commit?: Partial<CommitRecord>;
    readonly snapshot?: Partial<SnapshotRecord>;
    readonly tags?: readonly Pick<TagRecord, "tag" | "commitId">[];
  } = {},
): PackRecords {
  return {
    commits: commits.map(({ commitId, parentIds }, i) => ({
      commitId,
      parentIds,
      snapshotId: snapshotIdOf(commitId),
      author: "ada",
      committedAt: "2026-11-27T10:15:37.325180+00:00",
      message: `message ${commitId.slice(-4)}`,
      metadata: {},
      reviewedBy: [],
      testRuns: 0,
      offsetBytes: 1_000 * (i + 1),
      sizeBytes: 300,
      ...changes.commit,
    })),
    snapshots: commits.map(({ commitId }, i) => ({
      snapshotId: snapshotIdOf(commitId),
      entries: 2,
      parentSnapshotId: null,
      isVerifiable: true,
      offsetBytes: 1_000_000 + 1_000 * i,
      sizeBytes: 200,
      ...changes.snapshot,
    })),
    tags: (changes.tags ?? []).map((tag) => ({
      tagId: crypto.randomUUID(),
      createdAt: "2026-11-27T10:15:37+00:00",
      ...tag,
    })),
    branchHeads: [],
  };
}

/** The history of a pack that is not staged, checked against the repo. */
export async function historyOf(
  db: Database,
  repoId: string,
  records: PackRecords,
  branch?: Partial<BranchMove>,
): Promise<PackHistory> {
  const check = new HistoryCheck(db, repoId);
  const rows = await check.add(records);
  await check.settle();
  const [head] = check.graph.tips(1);
  return {
    rows,
    graph: [...check.rows(5_000)].flat(),
    recordBatches: 0,
    graphBatches: 0,
    sawCut: check.sawCut,
    ...(branch && { branch: { name: "main", head, expected: null, force: false, ...branch } }),
  };
}
