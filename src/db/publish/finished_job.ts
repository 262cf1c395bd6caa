import type postgres from "postgres";

/** Where in the statement the parts of a job's result are; SQL, not values. */
export interface ResultParts {
  /** What the worker knew of the result, as jsonb. */
  readonly given: string;
  /** Rows that repeated an id. */
  readonly duplicates: string;
}

/**
 * What a publish sets in the row `j` of the job it finishes. The statement has to have `counts` with
 * `objects`, `refs` and `publish_ms`.
 */
export function finishedJob(
  sql: postgres.Sql,
  { given, duplicates }: ResultParts,
): postgres.PendingQuery<postgres.Row[]> {
  return sql.unsafe(`
    status = 'done', finished_at = now(), lease_expires_at = null, checkpoint = null,
    last_error = null, cancel_requested = null,
    result = (${given} || jsonb_build_object(
      'job_id', j.job_id, 'repo_id', j.repo_id,
      'objects_written', counts.objects, 'object_refs_written', counts.refs,
      'duplicate_objects', ${duplicates},
      'elapsed_ms', coalesce((${given}->>'elapsed_ms')::int, 0) + counts.publish_ms,
      'phases_ms', coalesce(${given}->'phases_ms', '{}')
        || jsonb_build_object('publish', counts.publish_ms)))::json`);
}
