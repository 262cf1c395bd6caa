/**
 * `mpackd schedule …`: when maintenance runs by itself.
 *
 * @module
 */

import type { Command } from "commander";
import type { Database } from "../../../db/client/database.ts";
import { ConfigError } from "../../../errors.ts";
import { runNow } from "../../../jobs/schedules/fire.ts";
import {
  listSchedules,
  pauseSchedule,
  putSchedule,
  removeSchedule,
  type Schedule,
} from "../../../jobs/schedules/schedules.ts";
import { readTask, type TaskOptions, TASKS } from "../../../jobs/schedules/task.ts";
import type { CommandContext } from "../../command.ts";
import { parseCount, parseDuration } from "../../flags.ts";
import { print, printJson } from "../../output.ts";
import { openDatabase } from "../../resources.ts";

interface ScheduleFlags {
  readonly cron: string;
  readonly task: string;
  readonly sample?: string;
  readonly grace?: string;
  readonly minPacks?: string;
  readonly olderThan?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** What a subcommand prints. */
interface Answer {
  readonly json: unknown;
  readonly text: string;
}

/** Adds the commands. */
export function addScheduleCommand(program: Command, context: CommandContext): void {
  const schedule = program.command("schedule")
    .summary("let workers run gc, audits, repacks and purges at set times")
    .description(
      "Let workers run maintenance at set times. Each time becomes one job of the queue, however " +
        "many workers there are. What was missed while none ran is caught up once.",
    );
  const run = (flags: ScheduleFlags, work: (db: Database) => Promise<Answer>) =>
    context.run(flags, async () => {
      await using opened = await openDatabase(context.config(), { maxConnections: 1 });
      const { json, text } = await work(opened.db);
      if (flags.json) await printJson(json);
      else await print(text);
    });
  const json = ["--json", "print one JSON document"] as const;

  schedule.command("add")
    .description("Add a schedule, or change the one of that name.")
    .argument("<name>")
    .requiredOption("--task <task>", Object.keys(TASKS).join(", "))
    .requiredOption("--cron <expression>", 'five fields in UTC: "0 3 * * *" is each day at three')
    .option("--sample <percent>", "audit: how many of the packs to draw, such as 5%")
    .option("--grace <duration>", "gc: the least age of garbage (default: MPACK_GC_GRACE_MS)")
    .option("--min-packs <count>", "repack: only repos with so many mpacks (default: 20)")
    .option("--older-than <duration>", "purge: how long ago jobs ended (default: 30d)")
    .option("--dry-run", "only say when it would run")
    .option(...json)
    .action((name: string, flags: ScheduleFlags) => run(flags, (db) => add(db, name, flags)));
  schedule.command("list").description("List the schedules, and how their last jobs stand.")
    .option(...json)
    .action((flags: ScheduleFlags) => run(flags, list));
  for (const verb of ["pause", "resume"] as const) {
    schedule.command(verb)
      .description(verb === "pause" ? "Keep a schedule, but do not run it." : "Run it again.")
      .argument("<name>")
      .option("--dry-run", `only say what would be ${verb}d`)
      .option(...json)
      .action((name: string, flags: ScheduleFlags) =>
        run(flags, async (db) => {
          if (flags.dryRun) return await preview(db, verb, name);
          if (!await pauseSchedule(db, name, verb === "pause")) throw noSuch(verb, name);
          return { json: { name, is_paused: verb === "pause" }, text: `${PAST[verb]}: ${name}` };
        })
      );
  }
  schedule.command("run").description("Run a schedule now; its next time stays.")
    .argument("<name>")
    .option("--dry-run", "only say what would be run")
    .option(...json)
    .action((name: string, flags: ScheduleFlags) =>
      run(flags, async (db) => {
        if (flags.dryRun) return await preview(db, "run", name);
        const jobId = await runNow(db, name);
        if (jobId === undefined) throw noSuch("run", name);
        return { json: { name, job_id: jobId }, text: `Enqueued: job ${jobId}` };
      })
    );
  schedule.command("remove").description("Remove a schedule; its jobs stay.")
    .argument("<name>")
    .option("--dry-run", "only say what would be removed")
    .option(...json)
    .action((name: string, flags: ScheduleFlags) =>
      run(flags, async (db) => {
        if (flags.dryRun) return await preview(db, "remove", name);
        if (!await removeSchedule(db, name)) throw noSuch("remove", name);
        return { json: { name, removed: true }, text: `Removed: ${name}` };
      })
    );
}

/** Says of which schedule a command would do something. */
async function preview(db: Database, verb: string, name: string): Promise<Answer> {
  const found = await findSchedule(db, name);
  if (found === undefined) throw noSuch(verb, name);
  return {
    json: { [`would_${verb}`]: jsonOf(found) },
    text: `Would ${verb}: ${lineOf(found)}`,
  };
}

async function findSchedule(db: Database, name: string): Promise<Schedule | undefined> {
  return (await listSchedules(db)).find((known) => known.name === name);
}

const PAST = { pause: "Paused", resume: "Resumed" };

async function add(db: Database, name: string, flags: ScheduleFlags): Promise<Answer> {
  const task = readTask(flags.task), options = optionsOf(flags);
  const belongs: Record<keyof TaskOptions, readonly [task: string, flag: string]> = {
    sample_percent: ["audit", "--sample"],
    grace_ms: ["gc", "--grace"],
    min_packs: ["repack", "--min-packs"],
    older_than_ms: ["purge", "--older-than"],
  };
  for (const option of Object.keys(options) as (keyof TaskOptions)[]) {
    const [of, flag] = belongs[option];
    if (of === task) continue;
    throw new ConfigError(`Cannot schedule ${task}: ${flag} is for ${of}`);
  }
  const wanted = { name, cron: flags.cron, task, options }, isDryRun = flags.dryRun ?? false;
  const nextAt = await putSchedule(db, wanted, { isDryRun });
  if (isDryRun) {
    const known = await findSchedule(db, name);
    return {
      json: {
        would_add: { name, task, cron: flags.cron, options, next_at: nextAt.toISOString() },
        replaces: known === undefined ? null : jsonOf(known),
      },
      text: `Would ${known ? "change" : "add"}: ${name}, to run ${task} next at ` +
        nextAt.toISOString(),
    };
  }
  return {
    json: { name, task, cron: flags.cron, options, next_at: nextAt.toISOString() },
    text: `Added: ${name} runs ${task} next at ${nextAt.toISOString()}`,
  };
}

function optionsOf({ sample, grace, minPacks, olderThan }: ScheduleFlags): TaskOptions {
  return {
    ...(sample === undefined ? {} : { sample_percent: percentOf(sample) }),
    ...(grace === undefined ? {} : { grace_ms: parseDuration("--grace", grace) }),
    ...(minPacks === undefined
      ? {}
      : { min_packs: parseCount("--min-packs", minPacks, { min: 2 }) }),
    ...(olderThan === undefined ? {} : { older_than_ms: parseDuration("--older-than", olderThan) }),
  };
}

function percentOf(text: string): number {
  const percent = /^\d{1,3}(\.\d+)?%?$/.test(text) ? parseFloat(text) : NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new ConfigError(`Cannot use --sample ${text}: it is not a percentage above 0, up to 100`);
}

async function list(db: Database): Promise<Answer> {
  const schedules = await listSchedules(db);
  return {
    json: { schedules: schedules.map(jsonOf) },
    text: schedules.length === 0 ? "No schedules" : schedules.map(lineOf).join("\n"),
  };
}

function jsonOf(schedule: Schedule) {
  return {
    name: schedule.name,
    task: schedule.task,
    cron: schedule.cron,
    options: schedule.options,
    is_paused: schedule.isPaused,
    next_at: schedule.nextAt.toISOString(),
    last_at: schedule.lastAt?.toISOString() ?? null,
    last_job_id: schedule.lastJobId,
    last_status: schedule.lastStatus,
  };
}

function lineOf({ name, task, cron, isPaused, nextAt, lastAt, lastStatus }: Schedule): string {
  const next = isPaused ? "paused" : `next ${nextAt.toISOString()}`;
  const last = lastAt === null ? "never ran" : `last ${lastAt.toISOString()} ${lastStatus ?? ""}`;
  return `${name.padEnd(20)} ${task.padEnd(6)} ${cron.padEnd(14)} ${next}  ${last}`.trimEnd();
}

function noSuch(verb: string, name: string): ConfigError {
  return new ConfigError(
    `Cannot ${verb} the schedule ${name}: there is none of that name ("mpackd schedule list" lists them)`,
  );
}
