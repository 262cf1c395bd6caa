/**
 * `mpackd enqueue SOURCE… --repo OWNER/SLUG`: stores mpacks if need be, and queues their jobs.
 *
 * @module
 */

import type { Command } from "commander";
import { blobKeyOf, type Config } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { admitPush } from "../../db/quotas/admit_push.ts";
import { MPACK_INDEX } from "../../jobs/index/payload.ts";
import { enqueue } from "../../jobs/queue/enqueue.ts";
import type { CommandContext } from "../command.ts";
import { parseCount, parseDuration } from "../flags.ts";
import { jobJson } from "../job_text.ts";
import { eachSource, sourceMember } from "../each_source.ts";
import { checkSources, indexPayload, type MpackFlags, withMpackOptions } from "../mpack_options.ts";
import { openSource, putSource, requireSources } from "../mpack_source.ts";
import { isShortKey, mpackKeyOf } from "../named_ids.ts";
import { print, printJson } from "../output.ts";
import { openRepoToWrite } from "../shards/open_repo.ts";
import { openResources } from "../resources.ts";
import { LiveLine } from "../terminal.ts";

interface EnqueueFlags extends MpackFlags {
  readonly priority: string;
  readonly delay: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addEnqueueCommand(program: Command, context: CommandContext): void {
  withMpackOptions(program.command("enqueue"))
    .summary("queue mpacks for the workers")
    .description(
      "Queue a job for each mpack, or find the open job for it.\n\n" +
        "SOURCE is the same as for index. Bytes that are not in the store are stored first.",
    )
    .option("--priority <n>", "higher priorities run first", "0")
    .option("--delay <duration>", "the job does not start before this time: 10s, 5m, …", "0s")
    .option("--json", "print the job as one JSON document")
    .action((sources: string[], flags: EnqueueFlags) =>
      context.run(flags, (signal) => runEnqueue(sources, flags, context.config(), signal))
    );
}

async function runEnqueue(
  sources: readonly string[],
  flags: EnqueueFlags,
  config: Config,
  signal: AbortSignal,
): Promise<number> {
  const payload = indexPayload(flags);
  const priority = parseCount("--priority", flags.priority, { min: -1_000_000, max: 1_000_000 });
  const delayMs = parseDuration("--delay", flags.delay);
  checkSources(sources, flags);
  await requireSources(sources);
  if (flags.dryRun) {
    // Loaded here, because most calls need none of it before the first word.
    const { previewSources } = await import("../operate/preview.ts");
    return await previewSources("enqueue", sources, flags, { config, signal });
  }
  await using resources = await openResources(config, { isWriting: true });
  const { repoId, db, store } = await openRepoToWrite(resources, flags.repo, {
    create: flags.create || resources.isEmbedded,
    config,
  });
  const line = new LiveLine();
  return await eachSource(sources, flags, async (given) => {
    try {
      const text = await isShortKey(given) ? await mpackKeyOf(db, repoId, given) : given;
      await using source = await openSource(text, config, { signal, line });
      const blobKey = blobKeyOf(config.blobKey, repoId, source.mpackKey);
      const { expect, upload } = flags, { mpackKey, sizeBytes } = source;
      await admitPush(db, { repoId, mpackKey, ...(sizeBytes > 0 && { sizeBytes }) }, {
        defaults: quotaDefaultsOf(config),
        isPush: true,
      });
      await putSource(source, { store, blobKey, expect, upload, signal, line });
      const { row, existing } = await enqueue(db, {
        repoId,
        jobType: MPACK_INDEX,
        payload: { mpack_key: source.mpackKey, ...payload },
        priority,
        delayMs,
        maxAttempts: config.maxAttempts,
      });
      line.clear();
      if (!flags.json) {
        return await print(`${existing ? "Already open" : "Enqueued"}: job ${row.jobId}`);
      }
      await printJson({ ...sourceMember(sources, given), ...jobJson(row), existing });
    } finally {
      line.clear();
    }
  });
}
