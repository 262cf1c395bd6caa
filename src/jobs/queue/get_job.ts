import type { Database } from "../../db/client/database.ts";
import { ConfigError } from "../../errors.ts";
import { withPrefix } from "../../lib/ids.ts";
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

/** A shorter beginning of an id names too many. */
const MIN_PREFIX = 4;
const SHOWN = 5;

/**
 * Finds a job by its id, or by the beginning of one, with or without `sha256:`.
 *
 * @returns Undefined if there is none.
 * @throws {ConfigError} If several ids begin so; names some of them.
 */
export async function findJob(db: Database, idOrPrefix: string): Promise<JobRow | undefined> {
  const exact = await getJob(db, idOrPrefix);
  if (exact !== undefined || idOrPrefix.length < MIN_PREFIX) return exact;
  const rows = await db.query<{ job_id: string }>("find a job")`
    select job_id from musehub_background_jobs
    where starts_with(job_id, ${idOrPrefix}) or starts_with(job_id, ${withPrefix(idOrPrefix)})
    order by job_id limit ${SHOWN + 1}::bigint`;
  if (rows.length <= 1) return rows.length === 0 ? undefined : await getJob(db, rows[0].job_id);
  const ids = rows.slice(0, SHOWN).map(({ job_id }) => job_id).join(", ");
  throw new ConfigError(
    `Cannot tell which job ${idOrPrefix} is: ${ids}${rows.length > SHOWN ? ", …" : ""} begin so`,
  );
}
