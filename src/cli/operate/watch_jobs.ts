/**
 * `mpackd jobs watch`: the queue as it is now, until somebody ends it.
 *
 * @module
 */

import type { Command } from "commander";
import { mergeQueues, type QueueNow, readQueueNow } from "../../db/activity.ts";
import type { Database } from "../../db/client/database.ts";
import { repoNames } from "../../db/console_repos.ts";
import { askShards } from "../../db/shards/ask_shards.ts";
import type { ShardPools } from "../../db/shards/shard_pools.ts";
import { listWorkers, mergeWorkers } from "../../db/workers.ts";
import { DatabaseError } from "../../errors.ts";
import { listJobs, mergeJobs } from "../../jobs/queue/list_jobs.ts";
import type { JobRow } from "../../jobs/queue/job.ts";
import { sleep } from "../../lib/sleep.ts";
import type { CommandContext } from "../command.ts";
import { parseDuration } from "../flags.ts";
import { jobTable } from "../job_text.ts";
import { print, printJson, showControls, untilClosed, writeStdout } from "../output.ts";
import { openDatabase } from "../resources.ts";
import { unreachableJson } from "../shards/all_shards.ts";
import { counted, formatCount, formatMs } from "../terminal.ts";

const MIN_INTERVAL_MS = 200;
/** Rows read for a table; a terminal shows as many as it has lines. */
const JOBS = 100;
/** A shard that was added is shown after this. */
const LIST_AGE_MS = 5_000;
/** The other screen without a cursor, and back: what was on the screen is there again afterwards. */
const ENTER = "\x1b[?1049h\x1b[?25l", LEAVE = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H", CLEAR_LINE = "\x1b[K", CLEAR_BELOW = "\x1b[J";
const HEAD_LINES = 3;

interface WatchFlags {
  readonly interval: string;
  readonly json?: boolean;
}

/** What is shown. */
interface View {
  readonly queue: QueueNow;
  /** Running jobs, then the others, newest first. */
  readonly jobs: readonly JobRow[];
  readonly names: ReadonlyMap<string, string>;
  readonly workers: number;
  /** Shards that did not answer. */
  readonly unreachable: readonly string[];
}

/** Adds the command to `jobs`. */
export function addWatchCommand(jobs: Command, context: CommandContext): void {
  jobs.command("watch")
    .description(
      "Show the queue live, until q or Ctrl-C. Where stdout is no terminal: a line for each change.",
    )
    .option("--interval <duration>", "how often to look: 2s, 500ms, …", "2s")
    .option("--json", "print a line of JSON each time")
    .action((flags: WatchFlags) =>
      context.run(flags, async (signal) => {
        const intervalMs = Math.max(
          MIN_INTERVAL_MS,
          parseDuration("--interval", flags.interval),
        );
        await using opened = await openDatabase(context.config());
        const look = { shards: opened.shards, intervalMs, signal };
        const isLive = !flags.json && Deno.stdout.isTerminal();
        await untilClosed(() => isLive ? watchLive(look) : watchLines(look, flags.json ?? false));
      }, { isQuiet: true })
    );
}

interface Look {
  readonly shards: ShardPools;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
}

async function watchLines({ shards, intervalMs, signal }: Look, isJson: boolean): Promise<void> {
  let last = "";
  while (!signal.aborted) {
    const view = await read(shards);
    const text = view instanceof Error ? `the database is away: ${view.message}` : headOf(view);
    if (isJson) await printJson(jsonOf(view));
    else if (text !== last) await print(`${new Date().toISOString()}  ${text}`);
    last = text;
    await sleep(intervalMs, signal).catch(() => {});
  }
}

async function watchLive({ shards, intervalMs, signal }: Look): Promise<void> {
  const quit = new AbortController(), ended = AbortSignal.any([signal, quit.signal]);
  const write = (text: string) => writeStdout(new TextEncoder().encode(text));
  using _keys = readKeys((key) => key === "q" && quit.abort());
  await write(ENTER);
  try {
    while (!ended.aborted) {
      await write(screenOf(await read(shards)));
      await sleep(intervalMs, ended).catch(() => {});
    }
  } finally {
    await write(LEAVE);
  }
}

/** A database that is away for a while ends no watch. */
async function read(shards: ShardPools): Promise<View | Error> {
  try {
    const { answers, unreachable } = await askShards(
      await shards.all({ maxAgeMs: LIST_AGE_MS }),
      readPlace,
    );
    const places = answers.map(({ answer }) => answer);
    const queue = mergeQueues(places.map((place) => place.queue));
    const running = mergeJobs(places.map((place) => place.running), JOBS);
    const latest = mergeJobs(places.map((place) => place.latest), JOBS);
    const workers = mergeWorkers(places.map((place) => place.workers));
    const jobs = [...running, ...latest.filter(({ status }) => status !== "running")];
    const names = await repoNames(shards.catalog, jobs.map(({ repoId }) => repoId));
    return { queue, jobs, names, workers: workers.length, unreachable };
  } catch (error) {
    if (error instanceof DatabaseError && error.retryable) return error;
    throw error;
  }
}

async function readPlace(db: Database) {
  const [queue, running, latest, workers] = await Promise.all([
    readQueueNow(db, undefined),
    listJobs(db, { status: "running", limit: JOBS }),
    listJobs(db, { limit: JOBS }),
    listWorkers(db),
  ]);
  return { queue, running, latest, workers };
}

function headOf(
  { queue: { pending, running, failed, oldestMs }, workers, unreachable }: View,
): string {
  const oldest = pending === 0 ? "" : `, the oldest for ${formatMs(oldestMs)}`;
  return `${formatCount(pending)} waiting${oldest}; ${formatCount(running)} running; ` +
    `${formatCount(failed)} failed in a day; ${counted(workers, "worker")}` +
    (unreachable.length === 0 ? "" : `; no answer from ${unreachable.join(", ")}`);
}

function jsonOf(view: View | Error) {
  const at = new Date().toISOString();
  if (view instanceof Error) return { at, error: view.message };
  const { queue, jobs, workers, unreachable } = view;
  return {
    at,
    ...unreachableJson(unreachable),
    pending: queue.pending,
    oldest_pending_ms: Math.round(queue.oldestMs),
    running: queue.running,
    failed_in_a_day: queue.failed,
    workers,
    running_jobs: jobs.filter(({ status }) => status === "running").map((job) => ({
      job_id: job.jobId,
      repo_id: job.repoId,
      job_type: job.jobType,
      attempt: job.attempt,
      started_at: job.startedAt,
      locked_by: job.lockedBy,
      progress: job.progress,
    })),
  };
}

/** The whole screen: each line replaces one of before, so that nothing flickers. */
function screenOf(view: View | Error): string {
  const { columns, rows } = Deno.consoleSize();
  const time = new Date().toISOString().slice(11, 19);
  const head = view instanceof Error ? `The database is away: ${view.message}` : headOf(view);
  const table = view instanceof Error || view.jobs.length === 0
    ? []
    : jobTable(view.jobs.slice(0, Math.max(0, rows - HEAD_LINES - 1)), view.names).split("\n");
  const lines = [`mpackd jobs  ${time} UTC  q ends`, head, "", ...table].slice(0, rows);
  return HOME +
    lines.map((line) => showControls(line).slice(0, columns) + CLEAR_LINE).join("\r\n") +
    CLEAR_BELOW;
}

/** Calls `onKey` for each key, without waiting for Enter. Ctrl-C stays a signal. */
function readKeys(onKey: (key: string) => void): Disposable {
  if (!Deno.stdin.isTerminal()) return { [Symbol.dispose]() {} };
  Deno.stdin.setRaw(true, { cbreak: true });
  const reader = Deno.stdin.readable.getReader();
  const reading = async () => {
    for (let next; !(next = await reader.read()).done;) {
      for (const key of new TextDecoder().decode(next.value)) onKey(key);
    }
  };
  reading().catch(() => {});
  return {
    [Symbol.dispose]() {
      reader.cancel().catch(() => {});
      Deno.stdin.setRaw(false);
    },
  };
}
