/**
 * Carries what the catalog's schedules have fired to the shards: a schedule's task is a job in each.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { sha256Hex } from "../../lib/digest.ts";
import { withPrefix } from "../../lib/ids.ts";
import { NO_REPO, type TaskName, TASKS } from "./task.ts";

/** The last firing of a schedule. */
export interface Fired {
  readonly name: string;
  readonly cron: string;
  readonly task: string;
  readonly options: string;
  readonly last_at: string;
  readonly last_job_id: string;
}

/** Lists the last firing of each schedule. */
export function listFired(catalog: Database): Promise<Fired[]> {
  return catalog.query<Fired>("look for fired schedules")`
    select name, cron, task, options::text, last_at::text, last_job_id
    from mpackd_schedules where last_job_id is not null order by name`;
}

/**
 * Makes the job of each firing in a shard: once for all that call this, and none while the one before
 * is open. The shard's own row of the schedule notes it; it is paused, so that it fires nothing
 * itself. A shard that was away gets the last firing only.
 *
 * @returns How many jobs were made.
 */
export async function copyFired(db: Database, fired: readonly Fired[]): Promise<number> {
  const known = fired.filter(({ task }) => Object.hasOwn(TASKS, task)).map((each) => ({
    ...each,
    job_type: TASKS[each.task as TaskName],
    // Another id in each shard, by which the job can be found.
    last_job_id: withPrefix(sha256Hex([each.last_job_id, db.shard ?? ""].join("\0"))),
  }));
  const rows = await db.query("copy fired schedules")`
    with given as materialized (
      select * from json_to_recordset(${JSON.stringify(known)}::text::json) as g(
        name text, cron text, task text, options text, last_at timestamptz, last_job_id text,
        job_type text)
    ), open as materialized (
      select s.name from mpackd_schedules s join musehub_background_jobs j
        on j.job_id = s.last_job_id
      where j.status in ('pending', 'running')
    ), noted as (
      insert into mpackd_schedules as s
        (name, cron, task, options, is_paused, next_at, last_at, last_job_id)
      select name, cron, task, options::json, true, last_at, last_at, last_job_id
      from given order by name
      on conflict (name) do update set cron = excluded.cron, task = excluded.task,
        options = excluded.options, is_paused = true, last_at = excluded.last_at,
        last_job_id = case when s.name in (select name from open) then s.last_job_id
          else excluded.last_job_id end
      -- The time notes a firing that made no job, too.
      where s.last_at is null or s.last_at < excluded.last_at
      returning name, last_job_id
    )
    insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status, created_at)
    select g.last_job_id, ${NO_REPO}, g.job_type,
      g.options::jsonb || jsonb_build_object('schedule', g.name), 'pending', now()
    from given g join noted using (name, last_job_id)
    on conflict (job_id) do nothing returning job_id`;
  return rows.length;
}
