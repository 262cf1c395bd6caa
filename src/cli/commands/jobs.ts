/**
 * `mpackd jobs …`: lists and changes the jobs of the queue.
 *
 * @module
 */

import type { Command } from "commander";
import type { Database } from "../../db/client/database.ts";
import { repoNames } from "../../db/console_repos.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import { cancelJob } from "../../jobs/queue/cancel_job.ts";
import type { JobRow, JobStatus } from "../../jobs/queue/job.ts";
import { findJob } from "../../jobs/queue/get_job.ts";
import { countListed, listJobs } from "../../jobs/queue/list_jobs.ts";
import { type Pause, pause, readPauses, resume } from "../../jobs/schedules/pauses.ts";
import { countPurged, purgeJobs } from "../../jobs/queue/purge_jobs.ts";
import { countRetried, retryJobs } from "../../jobs/queue/retry_jobs.ts";
import { parseChoice, parseCount, parseDuration } from "../flags.ts";
import { jobDetails, jobJson, jobTable, pausedText } from "../job_text.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson } from "../output.ts";
import { openDatabase } from "../resources.ts";
import { addWatchCommand } from "../operate/watch_jobs.ts";
import { formatCount, terminalWidth } from "../terminal.ts";

const STATUSES: readonly JobStatus[] = ["pending", "running", "done", "failed", "cancelled"];
/** Rows per statement: few, so that no lock is held for long. */
const ROWS_PER_STATEMENT = 1_000;

interface JobsFlags {
  readonly status?: string;
  readonly repo?: string;
  readonly type?: string;
  readonly limit: string;
  readonly code?: string;
  readonly failed?: boolean;
  readonly since?: string;
  readonly dryRun?: boolean;
  readonly olderThan: string;
  readonly json?: boolean;
}

/** What a subcommand prints. */
interface Answer {
  readonly json: unknown;
  readonly text: string;
}

/** Adds the commands. */
export function addJobsCommand(program: Command, context: CommandContext): void {
  const jobs = program.command("jobs")
    .summary("list, show, retry, cancel and purge jobs")
    .description("List and change the jobs of the queue.");
  const run = (flags: JobsFlags, work: (db: Database) => Promise<Answer>) =>
    context.run(flags, async () => {
      await using opened = await openDatabase(context.config());
      const { json, text } = await work(opened.db);
      if (flags.json) await printJson(json);
      else await print(text);
    });
  const json = ["--json", "print one JSON document"] as const;

  jobs.command("list").description("List jobs, newest first.")
    .option("--status <status>", STATUSES.join(", "))
    .option("--repo <owner/slug>", "only jobs of this repo")
    .option("--type <job_type>", "only jobs of this type")
    .option("--code <code>", "only jobs whose last attempt ended with this code")
    .option("--limit <n>", "the most jobs to list", "100")
    .option(...json)
    .action((flags: JobsFlags) => run(flags, (db) => list(db, flags)));
  jobs.command("show").description("Show all fields of one job.")
    .argument("<job_id>")
    .option(...json)
    .action((jobId: string, flags: JobsFlags) => run(flags, (db) => show(db, jobId)));
  addWatchCommand(jobs, context);
  jobs.command("retry").description(
    "Queue failed or cancelled jobs again, with all their attempts.",
  )
    .argument("[job_id]", "a failed or cancelled job")
    .option("--failed", "every failed job")
    .option("--repo <owner/slug>", "with --failed: only jobs of this repo")
    .option("--code <code>", "with --failed: only jobs that failed with this code")
    .option("--since <duration>", "with --failed: only jobs that failed in the last 2h, 3d, …")
    .option("--dry-run", "with --failed: only count them")
    .option(...json)
    .action((jobId: string | undefined, flags: JobsFlags) =>
      run(flags, (db) => retry(db, jobId, flags))
    );
  jobs.command("cancel")
    .description("Cancel a pending job. A running job stops at its next batch.")
    .argument("<job_id>")
    .option(...json)
    .action((jobId: string, flags: JobsFlags) => run(flags, (db) => cancel(db, jobId)));
  for (const verb of ["pause", "resume"] as const) {
    jobs.command(verb)
      .description(
        verb === "pause"
          ? "Claim no more jobs: none at all, of a type, or of a repo. Running ones go on."
          : "Claim them again.",
      )
      .option("--type <job_type>", "only jobs of this type")
      .option("--repo <owner/slug>", "only jobs of this repo")
      .option(...json)
      .action((flags: JobsFlags) => run(flags, (db) => setPause(db, verb, flags)));
  }
  jobs.command("purge").description("Delete the rows of jobs that have ended.")
    .requiredOption("--older-than <duration>", "only jobs that ended longer ago: 30d, 12h, 5m, …")
    .option("--dry-run", "only count them")
    .option(...json)
    .action((flags: JobsFlags) => run(flags, (db) => purge(db, flags)));
}

async function list(db: Database, flags: JobsFlags): Promise<Answer> {
  const { type: jobType } = flags;
  const status = flags.status && parseChoice("--status", flags.status, STATUSES);
  const limit = parseCount("--limit", flags.limit, { min: 1, max: 100_000 });
  const repoId = await repoIdOf(db, flags.repo);
  const which = { status: status || undefined, repoId, jobType, code: flags.code };
  const rows = await listJobs(db, { ...which, limit });
  const total = rows.length < limit ? rows.length : await countListed(db, which);
  const pauses = await readPauses(db);
  const names = await repoNames(db, rows.map((row) => row.repoId));
  const shown = rows.length === 0 ? "No jobs" : jobTable(rows, names, terminalWidth());
  const more = total > rows.length ? [`${formatCount(rows.length)} of ${formatCount(total)}`] : [];
  return {
    json: { jobs: rows.map(jobJson), total },
    text: [shown, ...more, ...pausedText(pauses, await repoNames(db, pauses.repoIds))].join("\n"),
  };
}

async function setPause(
  db: Database,
  verb: "pause" | "resume",
  { type, repo }: JobsFlags,
): Promise<Answer> {
  if (type !== undefined && repo !== undefined) {
    throw new ConfigError(`Cannot ${verb}: give --type or --repo, or neither`);
  }
  const what: Pause = type !== undefined
    ? { kind: "type", value: type }
    : repo !== undefined
    ? { kind: "repo", value: (await repoIdOf(db, repo))! }
    : { kind: "all" };
  const name = type ?? repo ?? "all jobs";
  if (verb === "pause") {
    await pause(db, what);
    return { json: { paused: what }, text: `Paused: ${name}. Running jobs go on` };
  }
  const wasPaused = await resume(db, what);
  return {
    json: { resumed: what, was_paused: wasPaused },
    text: wasPaused ? `Resumed: ${name}` : `Nothing to resume: ${name} was not paused`,
  };
}

async function show(db: Database, jobId: string): Promise<Answer> {
  const row = await findJob(db, jobId);
  if (row === undefined) throw noSuchJob("show", jobId);
  return { json: jobJson(row), text: jobDetails(row) };
}

async function retry(
  db: Database,
  jobId: string | undefined,
  flags: JobsFlags,
): Promise<Answer> {
  if ((jobId === undefined) !== (flags.failed ?? false)) {
    throw new ConfigError('Cannot retry: give one job ("mpackd jobs list" lists them) or --failed');
  }
  if (jobId !== undefined) {
    const row = await findJob(db, jobId);
    if (row === undefined) throw noSuchJob("retry", jobId);
    const retried = await retryJobs(db, { jobId: row.jobId });
    if (retried.length === 0) {
      throw new ConfigError(`Cannot retry job ${row.jobId}: it is ${row.status}`);
    }
    return { json: { retried }, text: `Queued again: ${retried.length}` };
  }
  const which = {
    failed: true,
    repoId: await repoIdOf(db, flags.repo),
    code: flags.code,
    sinceMs: flags.since === undefined ? undefined : parseDuration("--since", flags.since),
  } as const;
  if (flags.dryRun) {
    const jobs = await countRetried(db, which);
    return { json: { would_retry: jobs }, text: `Would be queued again: ${formatCount(jobs)}` };
  }
  const jobIds: string[] = [];
  for (;;) {
    const batch = await retryJobs(db, { ...which, limit: ROWS_PER_STATEMENT });
    jobIds.push(...batch);
    if (batch.length < ROWS_PER_STATEMENT) break;
  }
  return { json: { retried: jobIds }, text: `Queued again: ${formatCount(jobIds.length)}` };
}

async function cancel(db: Database, given: string): Promise<Answer> {
  const found = await findJob(db, given);
  if (found === undefined) throw noSuchJob("cancel", given);
  const { jobId } = found, status = await cancelJob(db, jobId);
  if (status === undefined) throw noSuchJob("cancel", jobId);
  const text = status === "running"
    ? "it is running, and stops at its next batch"
    : status === "cancelled"
    ? status
    : `it has already ended: ${status}`;
  return {
    json: { job_id: jobId, status, cancel_requested: status === "running" },
    text: `Job ${jobId}: ${text}`,
  };
}

async function purge(db: Database, flags: JobsFlags): Promise<Answer> {
  const olderThanMs = parseDuration("--older-than", flags.olderThan);
  if (flags.dryRun) {
    const jobs = await countPurged(db, { olderThanMs });
    return { json: { would_purge: jobs }, text: `Would be purged: ${formatCount(jobs)}` };
  }
  let purged = 0;
  for (;;) {
    const batch = await purgeJobs(db, { olderThanMs, limit: ROWS_PER_STATEMENT });
    purged += batch;
    if (batch < ROWS_PER_STATEMENT) break;
  }
  return { json: { purged }, text: `Purged: ${formatCount(purged)}` };
}

async function repoIdOf(db: Database, text: string | undefined): Promise<string | undefined> {
  if (text === undefined) return undefined;
  return (await resolveRepo(db, parseRepoName(text))).repoId;
}

function noSuchJob(verb: string, jobId: JobRow["jobId"]): ConfigError {
  return new ConfigError(
    `Cannot ${verb} job ${jobId}: there is no such job ("mpackd jobs list" lists them)`,
  );
}
