/**
 * `main.ts enqueue SOURCE --repo OWNER/SLUG`: leaves a pack for the workers.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../config/config.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { MPACK_INDEX } from "../../jobs/index/payload.ts";
import { enqueue, type Enqueued } from "../../jobs/queue/enqueue.ts";
import { parseCount, parseDuration } from "../flags.ts";
import { indexPayload, type PackFlags, putInStore, withSourceOptions } from "./index.ts";
import { jobJson } from "../job_text.ts";
import type { CommandContext } from "../command.ts";
import { openSource } from "../source.ts";
import { LiveLine } from "../terminal.ts";
import { openBlobStore, openDatabase } from "../resources.ts";

interface EnqueueFlags extends PackFlags {
  readonly priority: string;
  readonly delay: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addEnqueueCommand(program: Command, context: CommandContext): void {
  withSourceOptions(program.command("enqueue"))
    .summary("leave one mpack for the workers")
    .description(
      "Put a job for one mpack into the queue, or find the open one that does the same.\n\n" +
        "SOURCE is as for index; a file or foreign blob is put into the store first.",
    )
    .option("--priority <n>", "higher goes first", "0")
    .option("--delay <duration>", "not before 10s, 5m, … from now", "0s")
    .option("--json", "print the job as one JSON document")
    .action((source: string, flags: EnqueueFlags) =>
      context.run(flags, async (signal) => {
        const { row, existing } = await runEnqueue(source, flags, context.config(), signal);
        if (flags.json) console.log(JSON.stringify({ ...jobJson(row), existing }));
        else console.log(`${existing ? "Already open" : "Enqueued"}: job ${row.jobId}`);
      })
    );
}

async function runEnqueue(
  text: string,
  flags: EnqueueFlags,
  config: Config,
  signal: AbortSignal,
): Promise<Enqueued> {
  const payload = indexPayload(flags);
  const priority = parseCount("--priority", flags.priority, { min: -1_000_000, max: 1_000_000 });
  const delayMs = parseDuration("--delay", flags.delay);
  const line = new LiveLine();
  try {
    const store = await openBlobStore(config, { isWriting: true });
    await using opened = await openDatabase(config);
    const { db, isEmbedded } = opened;
    const { repoId } = await resolveRepo(db, parseRepoName(flags.repo), {
      create: flags.create || isEmbedded,
    });
    await using source = await openSource(text, config, { signal, line });
    await putInStore(source, { store, repoId, flags, config, signal, line });
    return await enqueue(db, {
      repoId,
      jobType: MPACK_INDEX,
      payload: { mpack_key: source.mpackKey, ...payload },
      priority,
      delayMs,
      maxAttempts: config.maxAttempts,
    });
  } finally {
    line.clear();
  }
}
