import type { Database } from "../../db/client/database.ts";
import { findId } from "../../db/find_ids.ts";
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

/**
 * Finds a job by its id, or by the beginning of one, with or without `sha256:`.
 *
 * @returns Undefined if there is none.
 * @throws {ConfigError} If several ids begin so; names some of them.
 */
export async function findJob(db: Database, idOrPrefix: string): Promise<JobRow | undefined> {
  const exact = await getJob(db, idOrPrefix);
  if (exact !== undefined) return exact;
  const jobId = await findId(db, { kind: "job" }, idOrPrefix);
  return jobId === undefined ? undefined : await getJob(db, jobId);
}
