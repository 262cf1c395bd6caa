/**
 * `mpackd index SOURCE --repo OWNER/SLUG`: stores one mpack if need be, and indexes it as a job.
 *
 * @module
 */

import type { Command } from "commander";
import { blobKeyOf, type Config } from "../../config/config.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { InvalidMpackError } from "../../errors.ts";
import { indexMpack } from "../../jobs/index/index_mpack.ts";
import type { IndexResult } from "../../jobs/index/result.ts";
import type { CommandContext } from "../command.ts";
import { indexPayload, type MpackFlags, withMpackOptions } from "../mpack_options.ts";
import { openSource, putSource, uploadSource } from "../mpack_source.ts";
import { print, printJson, tell } from "../output.ts";
import { jobPermissions, requirePermissions } from "../permissions.ts";
import { openResources } from "../resources.ts";
import { formatBytes, formatCount, formatMs, LiveLine } from "../terminal.ts";
import { isGoneWorker, workerName } from "../worker_name.ts";

const LABELS = { open: "waiting", stream: "index", publish: "publish" } as const;

interface IndexFlags extends MpackFlags {
  readonly json?: boolean;
}

/** Adds the command. */
export function addIndexCommand(program: Command, context: CommandContext): void {
  withMpackOptions(program.command("index"))
    .summary("index one mpack")
    .description(
      "Index one mpack: read it once, prove its digest, and make its objects readable in a repo.\n\n" +
        "SOURCE is an mpack key (sha256:…) whose blob is in the store, s3://bucket/key, a file, or " +
        "- for stdin. Bytes that are not in the store under their key are stored first.",
    )
    .option("--json", "print the result or the error as one JSON document")
    .action((source: string, flags: IndexFlags) =>
      context.run(flags, async (signal) => {
        const result = await runIndex(source, flags, context.config(), signal);
        if (flags.json) await printJson(result);
        else await print(summary(result));
      })
    );
}

async function runIndex(
  text: string,
  flags: IndexFlags,
  config: Config,
  signal: AbortSignal,
): Promise<IndexResult> {
  const payload = indexPayload(flags);
  const line = new LiveLine();
  try {
    requirePermissions(jobPermissions());
    await using resources = await openResources(config, { isWriting: true });
    const { db, store, isEmbedded } = resources;
    const { repoId } = await resolveRepo(db, parseRepoName(flags.repo), {
      create: flags.create || isEmbedded,
    });
    await using source = await openSource(text, config, { signal, line });
    const { mpackKey } = source;
    const { expect, upload } = flags;
    const blobKey = blobKeyOf(config.blobKey, repoId, mpackKey);
    const put = { store, blobKey, expect, upload, signal, line };
    const isNew = await putSource(source, put);
    const indexOnce = () =>
      indexMpack({
        db,
        store,
        config,
        signal,
        payload,
        repoId,
        mpackKey,
        worker: workerName(config.home),
        isGone: (worker) => isGoneWorker(worker, config.home),
        onProgress: ({ phase, bytes, sizeBytes, objects }) => {
          const note = `${formatCount(objects)} objects`;
          line.show({ label: LABELS[phase], bytes, sizeBytes, note });
        },
        onStartOver: (reason) => tell(`Starting over: ${reason}`),
      });
    const index = async () => {
      const result = await indexOnce();
      // An open job for the same mpack may not have asked for materialized objects.
      return flags.materialize && !result.materialized ? await indexOnce() : result;
    };
    try {
      return await index();
    } catch (error) {
      // The blob that was in the store had the source's key and size, but other bytes: replace it.
      const isDamaged = error instanceof InvalidMpackError && source.body !== undefined && !isNew;
      if (!isDamaged) throw error;
      await uploadSource(source, put);
      return await index();
    }
  } finally {
    line.clear();
  }
}

function summary(result: IndexResult): string {
  const { phases_ms, elapsed_ms, size_bytes, materialized } = result;
  const speed = elapsed_ms > 0 ? ` (${(size_bytes / elapsed_ms / 1000).toFixed(1)} MB/s)` : "";
  const count = formatCount;
  const lines = [
    `Indexed ${result.mpack_key}`,
    `  size        ${formatBytes(size_bytes)} in ${formatMs(elapsed_ms)}${speed}`,
    `  objects     ${count(result.objects_total)}: ${count(result.objects_written)} new, ` +
    `${count(result.object_refs_written)} refs new, ${count(result.duplicate_objects)} duplicates`,
    `  history     ${count(result.commits)} commits, ${count(result.snapshots)} snapshots, ` +
    `${count(result.tags)} tags`,
    `  phases      open ${formatMs(phases_ms.open)}, stream ${formatMs(phases_ms.stream)}, ` +
    `publish ${formatMs(phases_ms.publish)}`,
  ];
  if (materialized) {
    lines.push(
      `  blobs       ${count(materialized.written)} written, ${
        count(materialized.existing)
      } there ` +
        `already, ${
          count(materialized.mismatched)
        } skipped because their bytes do not match their id`,
    );
  }
  if (result.resumed_from_byte > 0) {
    lines.push(`  resumed     from byte ${count(result.resumed_from_byte)}`);
  }
  return [...lines, `  job         ${result.job_id}`].join("\n");
}
