import type { Database } from "../../db/client/database.ts";

/** An attempt of a job that did not end well. */
export interface AttemptRow {
  /** Which attempt it was, from 1. */
  readonly attempt: number | null;
  /** The worker that ran it. */
  readonly worker: string | null;
  /** When it was claimed. */
  readonly startedAt: Date | null;
  /** When it ended, or was found to have ended. */
  readonly endedAt: Date;
  /** `retrying`, `failed`, `cancelled`, `released`, or `lost`: the worker's lease expired. */
  readonly outcome: string;
  /** Why. */
  readonly code: string | null;
  /** The same for people. */
  readonly message: string | null;
}

/** Most attempts of one job that are read. */
const MAX_ATTEMPTS = 100;

/** Lists the last attempts of a job that did not end well, oldest first. */
export async function listAttempts(db: Database, jobId: string): Promise<AttemptRow[]> {
  const rows = await db.query<AttemptRow>("list attempts")`
    select attempt, worker, started_at as "startedAt", ended_at as "endedAt", outcome, code, message
    from mpackd_attempts where job_id = ${jobId} order by fence desc
    limit ${MAX_ATTEMPTS}::bigint`;
  return rows.reverse();
}
