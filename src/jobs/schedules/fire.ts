/**
 * Turns schedules that are due into jobs.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { sha256Hex } from "../../lib/digest.ts";
import { withPrefix } from "../../lib/ids.ts";
import { nextTime } from "./cron.ts";
import { NO_REPO, type TaskName, TASKS } from "./task.ts";

interface Due {
  readonly name: string;
  readonly cron: string;
  readonly task: string;
  readonly next_at: Date;
  /** The database's clock: that of a worker may be wrong. */
  readonly now: Date;
}

/**
 * Makes a job for each schedule that is due, and moves it on to its next time after now: what was
 * missed while nobody ran is caught up once. One worker fires each time of a schedule, however many
 * look; while the job of the time before is open, none is made.
 *
 * @returns The ids of the jobs made.
 */
export async function fireSchedules(db: Database): Promise<string[]> {
  const due = await db.query<Due>("look for due schedules")`
    select name, cron, task, next_at, now() as now from mpackd_schedules
    where not is_paused and next_at <= now() order by name`;
  const made: string[] = [];
  for (const { name, cron, task, next_at: dueAt, now } of due) {
    // A release that comes later may know more tasks.
    if (!Object.hasOwn(TASKS, task)) continue;
    const jobId = await fire(
      db,
      { name, task: task as TaskName, dueAt },
      nextTime(cron, now),
    );
    if (jobId !== undefined) made.push(jobId);
  }
  return made;
}

/** Makes a job of a schedule at once; its next time stays. Undefined if there is no such schedule. */
export async function runNow(db: Database, name: string): Promise<string | undefined> {
  const [found] = await db.query<Pick<Due, "task">>("find a schedule")`
    select task from mpackd_schedules where name = ${name}`;
  if (found === undefined || !Object.hasOwn(TASKS, found.task)) return undefined;
  const at = new Date(), jobId = jobIdOf(name, at);
  await db.query("run a schedule")`
    with fired as (
      update mpackd_schedules set last_at = now(), last_job_id = ${jobId}
      where name = ${name} returning name, options
    )
    insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status, created_at)
    select ${jobId}, ${NO_REPO}, ${TASKS[found.task as TaskName]},
      options::jsonb || jsonb_build_object('schedule', name), 'pending', now()
    from fired`;
  return jobId;
}

async function fire(
  db: Database,
  { name, task, dueAt }: { readonly name: string; readonly task: TaskName; readonly dueAt: Date },
  nextAt: Date,
): Promise<string | undefined> {
  const jobId = jobIdOf(name, dueAt);
  // One statement: a worker that dies after it leaves no job that the next time does not know of.
  const rows = await db.query("fire a schedule")`
    with fired as (
      update mpackd_schedules s set next_at = ${nextAt.toISOString()}::timestamptz,
        last_at = case when is_open then s.last_at else now() end,
        last_job_id = case when is_open then s.last_job_id else ${jobId} end
      from (
        select exists (
          select from musehub_background_jobs j join mpackd_schedules o on o.last_job_id = j.job_id
          where o.name = ${name} and j.status in ('pending', 'running')) as is_open
      ) as before
      where s.name = ${name} and not s.is_paused
        and date_trunc('milliseconds', s.next_at) = ${dueAt.toISOString()}::timestamptz
      returning s.name, s.options, is_open
    )
    insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status, created_at)
    select ${jobId}, ${NO_REPO}, ${TASKS[task]},
      fired.options::jsonb || jsonb_build_object('schedule', fired.name), 'pending', now()
    from fired where not fired.is_open
    on conflict (job_id) do nothing
    returning job_id`;
  return rows.length === 0 ? undefined : jobId;
}

/** The same for every worker that fires the same time of the same schedule. */
function jobIdOf(name: string, at: Date): string {
  return withPrefix(sha256Hex([NO_REPO, name, at.toISOString()].join("\0")));
}
