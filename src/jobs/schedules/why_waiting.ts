import { listWorkers } from "../../db/workers.ts";
import type { Database } from "../../db/client/database.ts";
import type { JobRow } from "../queue/job.ts";
import { readPauses } from "./pauses.ts";

/** What must happen before a pending job can run; null if nothing needs to. */
export async function whyWaiting(
  db: Database,
  { jobType, repoId }: Pick<JobRow, "jobType" | "repoId">,
): Promise<"worker" | "resume" | null> {
  const [workers, pauses] = await Promise.all([listWorkers(db), readPauses(db)]);
  const isPaused = pauses.isAll || pauses.types.includes(jobType) ||
    pauses.repoIds.includes(repoId);
  return isPaused ? "resume" : workers.length === 0 ? "worker" : null;
}
