/**
 * `mpackd status`: what waits, runs and failed, and who works on it.
 *
 * @module
 */

import type { Command } from "commander";
import {
  mergeFailures,
  mergeQueues,
  readFailures,
  readLastHour,
  readQueueNow,
} from "../../../db/activity.ts";
import { listFinished, mergeFinished } from "../../../db/audits.ts";
import type { Database } from "../../../db/client/database.ts";
import { repoNames } from "../../../db/console_repos.ts";
import { listWorkers, mergeWorkers } from "../../../db/workers.ts";
import { mergePauses, readPauses } from "../../../jobs/schedules/pauses.ts";
import type { CommandContext } from "../../command.ts";
import { pausedText } from "../../job_text.ts";
import { print, printJson } from "../../output.ts";
import { openDatabase } from "../../resources.ts";
import { askAll, SHARD_OPTION, unreachableJson } from "../../shards/all_shards.ts";
import { counted, formatBytes, formatCount, formatMs } from "../../terminal.ts";

/** Adds the command. */
export function addStatusCommand(program: Command, context: CommandContext): void {
  program.command("status")
    .summary("say what waits, runs and failed")
    .description(
      "Say what waits in the queue, runs, and failed in the last day; which workers are alive; what " +
        "was indexed in the last hour; and when the last audit ended. doctor checks the rest.",
    )
    .option(...SHARD_OPTION)
    .option("--json", "print it as one JSON document")
    .action((flags: { shard?: string; json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const { answers, unreachable } = await askAll(opened, flags, readPlace);
        const status = statusOf(opened.db.label, answers);
        if (flags.json) await printJson({ ...status, ...unreachableJson(unreachable) });
        else await print(await textOf(opened.db, status));
      })
    );
}

/** What one shard has to say. */
async function readPlace(db: Database) {
  return {
    queue: await readQueueNow(db, undefined),
    failures: await readFailures(db, undefined),
    workers: await listWorkers(db),
    pauses: await readPauses(db),
    audits: await listFinished(db, { limit: 1 }),
    hour: await readLastHour(db, undefined),
  };
}

type Place = Awaited<ReturnType<typeof readPlace>>;

function statusOf(database: string, places: readonly Place[]) {
  const queue = mergeQueues(places.map((place) => place.queue));
  const failures = mergeFailures(places.map((place) => place.failures));
  const workers = mergeWorkers(places.map((place) => place.workers));
  const pauses = mergePauses(places.map((place) => place.pauses));
  const [audit] = mergeFinished(places.map((place) => place.audits), 1);
  const last_hour = { mpacks: 0, objects: 0, bytes: 0 };
  for (const minute of places.flatMap((place) => place.hour)) {
    last_hour.mpacks += minute.packs;
    last_hour.objects += minute.objects;
    last_hour.bytes += minute.sizeBytes;
  }
  return {
    database,
    queue: {
      pending: queue.pending,
      oldest_pending_ms: Math.round(queue.oldestMs),
      running: queue.running,
      failed_last_day: queue.failed,
      failures_by_code: Object.fromEntries(failures.map(({ code, jobs }) => [code, jobs])),
    },
    paused: { all: pauses.isAll, job_types: pauses.types, repo_ids: pauses.repoIds },
    workers: workers.map(({ worker, version, concurrency, running, isDraining, startedAt }) => ({
      worker,
      version,
      concurrency,
      running,
      is_draining: isDraining,
      started_at: startedAt,
    })),
    last_hour,
    last_audit: audit === undefined
      ? null
      : { finished_at: audit.finishedAt, mpacks: audit.mpacks, damaged: audit.damaged },
  };
}

async function textOf(db: Database, status: ReturnType<typeof statusOf>) {
  const { queue, workers, last_hour, last_audit, paused } = status;
  const count = formatCount, row = (name: string, text: string) => `${name.padEnd(10)} ${text}`;
  const oldest = queue.pending === 0 ? "" : `, the oldest for ${formatMs(queue.oldest_pending_ms)}`;
  const codes = Object.entries(queue.failures_by_code).map(([code, jobs]) =>
    `${code} ${count(jobs)}`
  );
  const busy = workers.reduce((sum, { running }) => sum + running, 0);
  const room = workers.reduce((sum, { concurrency }) => sum + concurrency, 0);
  const repos = await repoNames(db, paused.repo_ids);
  return [
    row("database", status.database),
    row("waiting", `${counted(queue.pending, "job")}${oldest}`),
    row("running", counted(queue.running, "job")),
    row(
      "failed",
      `${counted(queue.failed_last_day, "job")} in the last day` +
        (codes.length === 0 ? "" : `: ${codes.join(", ")}`),
    ),
    row(
      "workers",
      workers.length === 0
        ? "none is alive" + (queue.pending > 0 ? ': start one with "mpackd worker"' : "")
        : `${count(workers.length)} alive, ${count(busy)} of ${counted(room, "place")} busy`,
    ),
    row(
      "last hour",
      `${counted(last_hour.mpacks, "mpack")}, ${counted(last_hour.objects, "object")}, ` +
        formatBytes(last_hour.bytes),
    ),
    row(
      "last audit",
      last_audit === null
        ? "none has ended"
        : `${formatMs(Math.max(0, Date.now() - last_audit.finished_at.getTime()))} ago: ` +
          `${counted(last_audit.mpacks, "mpack")} checked, ${count(last_audit.damaged)} damaged`,
    ),
    ...pausedText(
      { isAll: paused.all, types: paused.job_types, repoIds: paused.repo_ids },
      repos,
    ),
  ].join("\n");
}
