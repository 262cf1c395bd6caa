/**
 * `main.ts jobs …`: looking at the queue and putting it right.
 *
 * @module
 */

import type { Command } from "commander";
import type { Database } from "../../db/client/database.ts";
import { findRepo, parseRepoName } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import { cancelJob } from "../../jobs/queue/cancel_job.ts";
import type { JobRow, JobStatus } from "../../jobs/queue/job.ts";
import { getJob } from "../../jobs/queue/get_job.ts";
import { listJobs } from "../../jobs/queue/list_jobs.ts";
import { purgeJobs } from "../../jobs/queue/purge_jobs.ts";
import { retryJobs } from "../../jobs/queue/retry_jobs.ts";
import { parseCount, parseDuration } from "../flags.ts";
import { jobDetails, jobJson, jobTable } from "../job_text.ts";
import type { CommandContext } from "../command.ts";
import { openDatabase } from "../resources.ts";

const STATUSES: readonly JobStatus[] = ["pending", "running", "done", "failed", "cancelled"];
/** Rows per statement, so that no lock is held for long. */
const BATCH = 1_000;

interface JobsFlags {
  readonly status?: string;
  readonly repo?: string;
  readonly type?: string;
  readonly limit: string;
  readonly failed?: boolean;
  readonly olderThan: string;
  readonly json?: boolean;
}

/** What an action prints: a document for programs, text for people. */
interface Answer {
  readonly json: unknown;
  readonly text: string;
}

/** Adds the commands. */
export function addJobsCommand(program: Command, context: CommandContext): void {
  const jobs = program.command("jobs")
    .summary("list, show, retry, cancel and purge jobs")
    .description("Look at the queue and put it right.");
  const run = (flags: JobsFlags, work: (db: Database) => Promise<Answer>) =>
    context.run(flags, async () => {
      await using opened = await openDatabase(context.config());
      const { json, text } = await work(opened.db);
      console.log(flags.json ? JSON.stringify(json) : text);
    });
  const json = ["--json", "print one JSON document"] as const;

  jobs.command("list").description("List jobs, newest first.")
    .option("--status <status>", STATUSES.join(", "))
    .option("--repo <owner/slug>", "of this repo only")
    .option("--type <job_type>", "of this type only")
    .option("--limit <n>", "at most so many", "100")
    .option(...json)
    .action((flags: JobsFlags) => run(flags, (db) => list(db, flags)));
  jobs.command("show").description("Show everything about one job.")
    .argument("<job_id>")
    .option(...json)
    .action((jobId: string, flags: JobsFlags) => run(flags, (db) => show(db, jobId)));
  jobs.command("retry").description("Put failed or cancelled jobs back, with all their attempts.")
    .argument("[job_id]", "a failed or cancelled job")
    .option("--failed", "every failed job")
    .option("--repo <owner/slug>", "with --failed: of this repo only")
    .option(...json)
    .action((jobId: string | undefined, flags: JobsFlags) =>
      run(flags, (db) => putBack(db, jobId, flags))
    );
  jobs.command("cancel")
    .description("Cancel a waiting job; a running one stops at its next batch.")
    .argument("<job_id>")
    .option(...json)
    .action((jobId: string, flags: JobsFlags) => run(flags, (db) => stop(db, jobId)));
  jobs.command("purge").description("Delete jobs that ended long ago.")
    .requiredOption("--older-than <duration>", "ended longer ago than 30d, 12h, 5m, …")
    .option(...json)
    .action((flags: JobsFlags) => run(flags, (db) => sweep(db, flags)));
}

async function list(db: Database, flags: JobsFlags): Promise<Answer> {
  const { status, type: jobType } = flags;
  if (status !== undefined && !STATUSES.some((known) => known === status)) {
    throw new ConfigError(`Cannot use --status ${status}: it is none of ${STATUSES.join(", ")}`);
  }
  const limit = parseCount("--limit", flags.limit, { min: 1, max: 100_000 });
  const repoId = await repoIdOf(db, flags.repo);
  const rows = await listJobs(db, { status: status as JobStatus, repoId, jobType, limit });
  return {
    json: { jobs: rows.map(jobJson) },
    text: rows.length === 0 ? "No jobs" : jobTable(rows),
  };
}

async function show(db: Database, jobId: string): Promise<Answer> {
  const row = await getJob(db, jobId);
  if (row === undefined) throw noSuchJob("show", jobId);
  return { json: jobJson(row), text: jobDetails(row) };
}

async function putBack(
  db: Database,
  jobId: string | undefined,
  flags: JobsFlags,
): Promise<Answer> {
  if ((jobId === undefined) !== (flags.failed ?? false)) {
    throw new ConfigError("Cannot retry: name one job, or say --failed");
  }
  const jobIds: string[] = [];
  if (jobId === undefined) {
    const repoId = await repoIdOf(db, flags.repo);
    for (;;) {
      const batch = await retryJobs(db, { failed: true, repoId, limit: BATCH });
      jobIds.push(...batch);
      if (batch.length < BATCH) break;
    }
  } else {
    jobIds.push(...await retryJobs(db, { jobId }));
    if (jobIds.length === 0) {
      const row = await getJob(db, jobId);
      if (row === undefined) throw noSuchJob("retry", jobId);
      throw new ConfigError(`Cannot retry job ${jobId}: it is ${row.status}`);
    }
  }
  return { json: { retried: jobIds }, text: `Put back: ${jobIds.length}` };
}

async function stop(db: Database, jobId: string): Promise<Answer> {
  const status = await cancelJob(db, jobId);
  if (status === undefined) throw noSuchJob("cancel", jobId);
  const text = status === "running"
    ? "it runs, and stops at its next batch"
    : status === "cancelled"
    ? status
    : `it has ended already: ${status}`;
  return {
    json: { job_id: jobId, status, cancel_requested: status === "running" },
    text: `Job ${jobId}: ${text}`,
  };
}

async function sweep(db: Database, flags: JobsFlags): Promise<Answer> {
  const olderThanMs = parseDuration("--older-than", flags.olderThan);
  let purged = 0;
  for (;;) {
    const batch = await purgeJobs(db, { olderThanMs, limit: BATCH });
    purged += batch;
    if (batch < BATCH) break;
  }
  return { json: { purged }, text: `Purged: ${purged}` };
}

async function repoIdOf(db: Database, text: string | undefined): Promise<string | undefined> {
  if (text === undefined) return undefined;
  const repo = await findRepo(db, parseRepoName(text));
  if (repo !== undefined) return repo.repoId;
  throw new ConfigError(`Cannot find repo ${text} on ${db.label}`, { code: "repo-not-found" });
}

function noSuchJob(verb: string, jobId: JobRow["jobId"]): ConfigError {
  return new ConfigError(`Cannot ${verb} job ${jobId}: there is no such job`);
}
