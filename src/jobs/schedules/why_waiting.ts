import { listWorkers } from "../../db/workers.ts";
import type { Database } from "../../db/client/database.ts";
import type { JobRow } from "../queue/job.ts";
import { mergePauses, readPauses } from "./pauses.ts";

/**
 * What must happen before a pending job can run; null if nothing needs to.
 *
 * @param db Where the job is.
 * @param catalog What is paused there is paused in all shards.
 */
export async function whyWaiting(
  db: Database,
  { jobType, repoId }: Pick<JobRow, "jobType" | "repoId">,
  catalog: Database = db,
): Promise<"worker" | "resume" | null> {
  const [workers, ...all] = await Promise.all([
    listWorkers(db),
    ...[...new Set([db, catalog])].map(readPauses),
  ]);
  const pauses = mergePauses(all);
  const isPaused = pauses.isAll || pauses.types.includes(jobType) ||
    pauses.repoIds.includes(repoId);
  return isPaused ? "resume" : workers.length === 0 ? "worker" : null;
}
