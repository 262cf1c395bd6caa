import type { Database } from "../../db/client/database.ts";
import type { JobRow } from "./job.ts";
import { toJobRow } from "./job_row.ts";

/** Reads a job; undefined if there is none of this id. */
export async function getJob(db: Database, jobId: string): Promise<JobRow | undefined> {
  const [row] = await db.build(
    "read a job",
    (kysely) =>
      kysely.selectFrom("musehub_background_jobs").selectAll().where("job_id", "=", jobId),
  );
  return row && toJobRow(row);
}
