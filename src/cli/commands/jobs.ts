/**
 * `mpackd jobs …`: lists and changes the jobs of the queue.
 *
 * @module
 */

import type { Command } from "commander";
import type { Database } from "../../db/client/database.ts";
import { repoNames } from "../../db/console_repos.ts";
import { ambiguous } from "../../db/find_ids.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import { ConfigError } from "../../errors.ts";
import { cancelJob } from "../../jobs/queue/cancel_job.ts";
import type { JobRow, JobStatus } from "../../jobs/queue/job.ts";
import { findJob } from "../../jobs/queue/get_job.ts";
import { countListed, listJobs, mergeJobs } from "../../jobs/queue/list_jobs.ts";
import {
  mergePauses,
  type Pause,
  pause,
  type Pauses,
  readPauses,
  resume,
} from "../../jobs/schedules/pauses.ts";
import { countPurged, purgeJobs } from "../../jobs/queue/purge_jobs.ts";
import { countRetried, retryJobs } from "../../jobs/queue/retry_jobs.ts";
import { parseChoice, parseCount, parseDuration } from "../flags.ts";
import { jobDetails, jobJson, jobTable, pausedText } from "../job_text.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson } from "../output.ts";
import { openDatabase, type OpenedDatabase } from "../resources.ts";
import {
  askAll,
  findInShards,
  inEachShard,
  notEverywhere,
  SHARD_OPTION,
  unreachableJson,
} from "../shards/all_shards.ts";
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
  readonly shard?: string;
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
  const run = (flags: JobsFlags, work: (opened: OpenedDatabase) => Promise<Answer>) =>
    context.run(flags, async () => {
      await using opened = await openDatabase(context.config());
      const { json, text } = await work(opened);
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
    .option(...SHARD_OPTION)
    .option(...json)
    .action((flags: JobsFlags) => run(flags, (opened) => list(opened, flags)));
  jobs.command("show").description("Show all fields of one job.")
    .argument("<job_id>")
    .option(...json)
    .action((jobId: string, flags: JobsFlags) => run(flags, (opened) => show(opened, jobId)));
  addWatchCommand(jobs, context);
  jobs.command("retry").description(
    "Queue failed or cancelled jobs again, with all their attempts.",
  )
    .argument("[job_id]", "a failed or cancelled job")
    .option("--failed", "every failed job")
    .option("--repo <owner/slug>", "with --failed: only jobs of this repo")
    .option("--code <code>", "with --failed: only jobs that failed with this code")
    .option("--since <duration>", "with --failed: only jobs that failed in the last 2h, 3d, …")
    .option("--dry-run", "only count them")
    .option(...SHARD_OPTION)
    .option(...json)
    .action((jobId: string | undefined, flags: JobsFlags) =>
      run(flags, (opened) => retry(opened, jobId, flags))
    );
  jobs.command("cancel")
    .description("Cancel a pending job. A running job stops at its next batch.")
    .argument("<job_id>")
    .option("--dry-run", "only say what would be cancelled")
    .option(...json)
    .action((jobId: string, flags: JobsFlags) =>
      run(flags, (opened) => cancel(opened, jobId, flags))
    );
  for (const verb of ["pause", "resume"] as const) {
    jobs.command(verb)
      .description(
        verb === "pause"
          ? "Claim no more jobs: none at all, of a type, or of a repo. Running ones go on."
          : "Claim them again.",
      )
      .option("--type <job_type>", "only jobs of this type")
      .option("--repo <owner/slug>", "only jobs of this repo")
      .option("--dry-run", `only say what would be ${verb}d`)
      .option(...json)
      .action((flags: JobsFlags) => run(flags, (opened) => setPause(opened, verb, flags)));
  }
  jobs.command("purge").description("Delete the rows of jobs that have ended.")
    .requiredOption("--older-than <duration>", "only jobs that ended longer ago: 30d, 12h, 5m, …")
    .option("--dry-run", "only count them")
    .option(...SHARD_OPTION)
    .option(...json)
    .action((flags: JobsFlags) => run(flags, (opened) => purge(opened, flags)));
}

async function list(opened: OpenedDatabase, flags: JobsFlags): Promise<Answer> {
  const { type: jobType } = flags;
  const status = flags.status && parseChoice("--status", flags.status, STATUSES);
  const limit = parseCount("--limit", flags.limit, { min: 1, max: 100_000 });
  const { repoId, shard } = await scopeOf(opened, flags);
  const forwarded = flags.shard === CATALOG;
  const which = { status: status || undefined, repoId, jobType, code: flags.code, forwarded };
  const { answers, unreachable } = await askAll(opened, { shard }, async (db) => {
    const rows = await listJobs(db, { ...which, limit });
    const total = rows.length < limit ? rows.length : await countListed(db, which);
    return { rows, total, pauses: await readPauses(db) };
  });
  const rows = mergeJobs(answers.map((each) => each.rows), limit);
  const total = answers.reduce((sum, each) => sum + each.total, 0);
  const pauses = mergePauses(answers.map((each) => each.pauses));
  const names = await repoNames(opened.db, rows.map((row) => row.repoId));
  const shown = rows.length === 0 ? "No jobs" : jobTable(rows, names, terminalWidth());
  const more = total > rows.length ? [`${formatCount(rows.length)} of ${formatCount(total)}`] : [];
  const paused = pausedText(pauses, await repoNames(opened.db, pauses.repoIds));
  return {
    json: { jobs: rows.map(jobJson), total, ...unreachableJson(unreachable) },
    text: [shown, ...more, ...paused].join("\n"),
  };
}

async function setPause(
  opened: OpenedDatabase,
  verb: "pause" | "resume",
  flags: JobsFlags,
): Promise<Answer> {
  const { type, repo } = flags;
  if (type !== undefined && repo !== undefined) {
    throw new ConfigError(`Cannot ${verb}: give --type or --repo, or neither`);
  }
  // What is paused in the catalog is paused in all shards.
  const { repoId } = await scopeOf(opened, flags);
  const what: Pause = type !== undefined
    ? { kind: "type", value: type }
    : repoId !== undefined
    ? { kind: "repo", value: repoId }
    : { kind: "all" };
  const name = type ?? repo ?? "all jobs";
  if (flags.dryRun) {
    const isPaused = has(await readPauses(opened.db), what),
      would = isPaused === (verb === "resume");
    return {
      json: { [`would_${verb}`]: would ? what : null, is_paused: isPaused },
      text: would
        ? `Would ${verb}: ${name}`
        : `Nothing to ${verb}: there is ${isPaused ? "a" : "no"} pause of ${name}`,
    };
  }
  if (verb === "pause") {
    await pause(opened.db, what);
    return { json: { paused: what }, text: `Paused: ${name}. Running jobs go on` };
  }
  const wasPaused = await resume(opened.db, what);
  return {
    json: { resumed: what, was_paused: wasPaused },
    text: wasPaused ? `Resumed: ${name}` : `Nothing to resume: there is no pause of ${name}`,
  };
}

function has(pauses: Pauses, what: Pause): boolean {
  if (what.kind === "all") return pauses.isAll;
  return (what.kind === "type" ? pauses.types : pauses.repoIds).includes(what.value);
}

async function show(opened: OpenedDatabase, jobId: string): Promise<Answer> {
  const { row } = await findAnywhere(opened, "show", jobId);
  return { json: jobJson(row), text: jobDetails(row) };
}

async function retry(
  opened: OpenedDatabase,
  jobId: string | undefined,
  flags: JobsFlags,
): Promise<Answer> {
  if ((jobId === undefined) !== (flags.failed ?? false)) {
    throw new ConfigError('Cannot retry: give one job ("mpackd jobs list" lists them) or --failed');
  }
  if (jobId !== undefined) {
    const { row, places } = await findAnywhere(opened, "retry", jobId);
    if (flags.dryRun) {
      if (!isRetried(row)) throw notRetried(row);
      return { json: { would_retry: 1, job: jobJson(row) }, text: wouldRetry(1) };
    }
    // In the catalog, too: the program that has put it there looks at that row.
    const retried = await Promise.all(places.map((db) => retryJobs(db, { jobId: row.jobId })));
    if (retried.flat().length === 0) throw notRetried(row);
    return { json: { retried: [row.jobId] }, text: "Queued again: 1" };
  }
  const { repoId, shard } = await scopeOf(opened, flags);
  const which = {
    failed: true,
    repoId,
    code: flags.code,
    sinceMs: flags.since === undefined ? undefined : parseDuration("--since", flags.since),
    forwarded: shard === CATALOG,
  } as const;
  if (flags.dryRun) {
    const counts = await inEachShard(opened, { shard }, (db) => countRetried(db, which));
    const jobs = counts.reduce((sum, count) => sum + count, 0);
    return { json: { would_retry: jobs }, text: wouldRetry(jobs) };
  }
  const all = { ...which, forwarded: true };
  const retried = await inEachShard(opened, { shard }, (db) => retryAll(db, all));
  const jobIds = [...new Set(retried.flat())];
  return { json: { retried: jobIds }, text: `Queued again: ${formatCount(jobIds.length)}` };
}

function wouldRetry(jobs: number): string {
  return `Would be queued again: ${formatCount(jobs)}`;
}

function isRetried({ status }: JobRow): boolean {
  return status === "failed" || status === "cancelled";
}

function notRetried({ jobId, status }: JobRow): ConfigError {
  return new ConfigError(
    `Cannot retry job ${jobId}: it is ${status}, neither failed nor cancelled`,
  );
}

async function retryAll(
  db: Database,
  which: Parameters<typeof countRetried>[1],
): Promise<string[]> {
  const jobIds: string[] = [];
  for (;;) {
    const batch = await retryJobs(db, { ...which, limit: ROWS_PER_STATEMENT });
    jobIds.push(...batch);
    if (batch.length < ROWS_PER_STATEMENT) return jobIds;
  }
}

async function cancel(
  opened: OpenedDatabase,
  given: string,
  { dryRun }: JobsFlags,
): Promise<Answer> {
  const { row, db } = await findAnywhere(opened, "cancel", given), { jobId } = row;
  if (dryRun) {
    const isOpen = row.status === "pending" || row.status === "running";
    return {
      json: { job_id: jobId, status: row.status, would_cancel: isOpen },
      text: isOpen
        ? `Would cancel job ${jobId}: it is ${row.status}`
        : `Nothing to cancel: job ${jobId} has already ended: ${row.status}`,
    };
  }
  const status = await cancelJob(db, jobId);
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

async function purge(opened: OpenedDatabase, flags: JobsFlags): Promise<Answer> {
  const olderThanMs = parseDuration("--older-than", flags.olderThan);
  if (flags.dryRun) {
    const counts = await inEachShard(opened, flags, (db) => countPurged(db, { olderThanMs }));
    const jobs = counts.reduce((sum, count) => sum + count, 0);
    return { json: { would_purge: jobs }, text: `Would be purged: ${formatCount(jobs)}` };
  }
  const counts = await inEachShard(opened, flags, (db) => purgeAll(db, olderThanMs));
  const purged = counts.reduce((sum, count) => sum + count, 0);
  return { json: { purged }, text: `Purged: ${formatCount(purged)}` };
}

async function purgeAll(db: Database, olderThanMs: number): Promise<number> {
  let purged = 0;
  for (;;) {
    const batch = await purgeJobs(db, { olderThanMs, limit: ROWS_PER_STATEMENT });
    purged += batch;
    if (batch < ROWS_PER_STATEMENT) return purged;
  }
}

/** The repo that `--repo` names, and the shard: the repo's, or that of `--shard`. */
async function scopeOf(
  opened: OpenedDatabase,
  { repo: text, shard }: JobsFlags,
): Promise<{ readonly repoId?: string; readonly shard?: string }> {
  if (text === undefined) return { shard };
  const { repoId, home } = await resolveRepo(opened.db, parseRepoName(text));
  return { repoId, shard: home?.shard ?? CATALOG };
}

/** Finds a job in any shard: by its id, or the beginning of it if that is one job's alone. */
async function findAnywhere(
  opened: OpenedDatabase,
  verb: string,
  given: string,
): Promise<
  { readonly row: JobRow; readonly db: Database; readonly places: readonly Database[] }
> {
  const { found, unreachable } = await findInShards(opened, (db) => findJob(db, given));
  const ids = [...new Set(found.map(({ answer }) => answer.jobId))];
  if (ids.length > 1) throw ambiguous("job", given, ids);
  // A job that was forwarded is in the catalog, too: the shard's is the one that runs.
  const last = found.at(-1);
  if (last !== undefined) {
    return { row: last.answer, db: last.db, places: found.map(({ db }) => db) };
  }
  if (unreachable.length > 0) throw notEverywhere(`Cannot ${verb} job ${given}`, unreachable);
  throw noSuchJob(verb, given);
}

function noSuchJob(verb: string, jobId: JobRow["jobId"]): ConfigError {
  return new ConfigError(
    `Cannot ${verb} job ${jobId}: there is no such job ("mpackd jobs list" lists them)`,
  );
}
