/**
 * The schedules in the database.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { ConfigError } from "../../errors.ts";
import { nextTime } from "./cron.ts";
import type { TaskName, TaskOptions } from "./task.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** A schedule. */
export interface Schedule {
  readonly name: string;
  /** The cron expression, in UTC. */
  readonly cron: string;
  readonly task: TaskName;
  readonly options: TaskOptions;
  readonly isPaused: boolean;
  /** When it is due next. */
  readonly nextAt: Date;
  /** When it last fired; null if it never did. */
  readonly lastAt: Date | null;
  /** The job of that time. */
  readonly lastJobId: string | null;
  /** How that job stands; null if it is gone. */
  readonly lastStatus: string | null;
}

/** A schedule to add. */
export type NewSchedule = Pick<Schedule, "name" | "cron" | "task" | "options">;

/**
 * Adds a schedule, or changes the one of that name. It is due at the next time of its expression.
 *
 * @param options.isDryRun Whether only to look whether it can be added. Default false.
 * @throws {ConfigError} If the name or the expression cannot be used.
 */
export async function putSchedule(
  db: Database,
  { name, cron, task, options }: NewSchedule,
  { isDryRun = false }: { readonly isDryRun?: boolean } = {},
): Promise<Date> {
  if (!NAME.test(name)) {
    throw new ConfigError(
      `Cannot add a schedule ${JSON.stringify(name.slice(0, 200))}: a name has letters, digits, ` +
        "dots, dashes and underscores, at most 100",
    );
  }
  // By the clock that decides when it is due.
  const [{ now }] = await db.query<{ now: Date }>("read the clock")`select now() as now`;
  const nextAt = nextTime(cron, now);
  if (isDryRun) return nextAt;
  await db.query("add a schedule")`
    insert into mpackd_schedules as s (name, cron, task, options, next_at)
    values (${name}, ${cron}, ${task}, ${JSON.stringify(options)}::text::json,
      ${nextAt.toISOString()}::timestamptz)
    on conflict (name) do update set cron = excluded.cron, task = excluded.task,
      options = excluded.options, next_at = excluded.next_at`;
  return nextAt;
}

/** Lists the schedules by name, with how their last jobs stand. */
export function listSchedules(db: Database): Promise<Schedule[]> {
  return db.query<Schedule>("list schedules")`
    select s.name, s.cron, s.task, s.options, s.is_paused as "isPaused", s.next_at as "nextAt",
      s.last_at as "lastAt", s.last_job_id as "lastJobId", j.status as "lastStatus"
    from mpackd_schedules s left join musehub_background_jobs j on j.job_id = s.last_job_id
    order by s.name`;
}

/**
 * Pauses a schedule, or lets it go on; what was missed meanwhile is not caught up.
 *
 * @returns Whether there is such a schedule.
 */
export async function pauseSchedule(
  db: Database,
  name: string,
  isPaused: boolean,
): Promise<boolean> {
  const [found] = await db.query<{ cron: string; now: Date }>("find a schedule")`
    select cron, now() as now from mpackd_schedules where name = ${name}`;
  if (found === undefined) return false;
  const nextAt = nextTime(found.cron, found.now).toISOString();
  const rows = await db.query("pause a schedule")`
    update mpackd_schedules set is_paused = ${isPaused}, next_at = ${nextAt}::timestamptz
    where name = ${name} returning name`;
  return rows.length > 0;
}

/** Removes a schedule; its jobs stay. Returns whether there was one. */
export async function removeSchedule(db: Database, name: string): Promise<boolean> {
  const rows = await db.query("remove a schedule")`
    delete from mpackd_schedules where name = ${name} returning name`;
  return rows.length > 0;
}
