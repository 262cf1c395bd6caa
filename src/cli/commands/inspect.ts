/**
 * `main.ts inspect PACK`: what is in a pack, and what is wrong with it.
 *
 * @module
 */

import type { Command } from "commander";
import { blobKeyOf, type Config, limitsOf } from "../../config/config.ts";
import { findRepo, parseRepoName } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import { isMpackKey } from "../../lib/ids.ts";
import type { BlobReader } from "../../stream/store/blob_store.ts";
import { inspectMpack, type MpackReport } from "../../maintenance/inspect.ts";
import { EXIT } from "../exit.ts";
import type { CommandContext } from "../command.ts";
import { openerOf } from "../source.ts";
import { formatBytes, formatCount, LiveLine } from "../terminal.ts";
import { openBlobStore, openDatabase } from "../resources.ts";

const BAR_CHARACTERS = 30;

interface InspectFlags {
  readonly repo?: string;
  readonly objects?: boolean;
  readonly largest: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addInspectCommand(program: Command, context: CommandContext): void {
  program.command("inspect")
    .summary("look into one mpack")
    .description(
      "Print what an mpack holds: sections and their bytes, counts, object sizes, nesting, and what\n" +
        "is wrong with it. Reads it once and writes nothing. A database is only asked where a key\n" +
        "lies when blobs are kept per repo. Exit code 3 if there is a problem.",
    )
    .argument("<pack>", "a file, s3://bucket/key, or sha256:<64 hex digits> with --repo")
    .option("--repo <owner/slug>", "whose blob a key names")
    .option("--objects", "hash every object, too, and list those that are not what their id says")
    .option("--largest <count>", "how many of the largest objects to list", "10")
    .option("--json", "print the report as one JSON document")
    .action((pack: string, flags: InspectFlags) =>
      context.run(flags, async (signal) => {
        const report = await runInspect(pack, flags, context.config(), signal);
        console.log(flags.json ? JSON.stringify(report) : textOf(report));
        return report.problems_total === 0 ? EXIT.ok : EXIT.rejected;
      })
    );
}

/** Does what the command does and returns the report. */
export async function runInspect(
  pack: string,
  flags: InspectFlags,
  config: Config,
  signal: AbortSignal,
): Promise<MpackReport> {
  if (!/^\d{1,6}$/.test(flags.largest)) {
    throw new ConfigError(`Cannot use --largest ${flags.largest}: it is not a number to 999,999`);
  }
  const line = new LiveLine();
  try {
    await using reader = await openPack(pack, flags, config, signal);
    const report = await inspectMpack(reader, {
      signal,
      limits: limitsOf(config),
      largest: Number(flags.largest),
      isHashing: flags.objects,
      onProgress: (bytes, sizeBytes) => line.show({ label: "inspect", bytes, sizeBytes }),
    });
    if (!isMpackKey(pack) || report.mpack_key === pack) return report;
    const message = `The blob under ${pack} has the key ${report.mpack_key}`;
    return {
      ...report,
      is_sound: false,
      problems: [...report.problems, { code: "digest-mismatch", message }],
      problems_total: report.problems_total + 1,
    };
  } finally {
    line.clear();
  }
}

async function openPack(
  pack: string,
  { repo }: InspectFlags,
  config: Config,
  signal: AbortSignal,
): Promise<BlobReader> {
  if (!pack.startsWith("sha256:")) return await (await openerOf(pack, config))();
  if (!isMpackKey(pack)) {
    throw new ConfigError(
      `Cannot inspect "${pack}": a key is sha256: and 64 lower-case hex digits`,
    );
  }
  const isPerRepo = config.blobKey.includes("{repo_id}");
  if (isPerRepo && repo === undefined) {
    throw new ConfigError("Cannot inspect a key without --repo: blobs are kept per repo");
  }
  const repoId = isPerRepo ? await repoIdOf(repo!, config) : "";
  const store = await openBlobStore(config);
  return await store.open(blobKeyOf(config.blobKey, repoId, pack), { signal });
}

async function repoIdOf(name: string, config: Config): Promise<string> {
  await using opened = await openDatabase(config);
  const repo = await findRepo(opened.db, parseRepoName(name));
  if (repo !== undefined) return repo.repoId;
  throw new ConfigError(`Cannot find repo ${name} on ${opened.db.label}`, {
    code: "repo-not-found",
  });
}

function textOf(report: MpackReport): string {
  const { counts, histogram, largest, problems, problems_total } = report;
  const most = Math.max(...histogram.map(({ objects }) => objects));
  const sections = report.sections.map(({ name, offset_bytes, size_bytes }) =>
    `  ${JSON.stringify(name.slice(0, 40)).padEnd(16)} ${formatBytes(size_bytes).padStart(9)}` +
    `  at byte ${formatCount(offset_bytes)}`
  );
  const sizes = histogram.map(({ to_bytes, objects, bytes }) =>
    `  up to ${formatBytes(to_bytes).padStart(8)}  ${formatCount(objects).padStart(11)}  ${
      formatBytes(bytes).padStart(9)
    }  ${"#".repeat(Math.ceil(BAR_CHARACTERS * objects / most))}`
  );
  const objects = largest.map(({ object_id, content_offset, size_bytes }) =>
    `  ${formatBytes(size_bytes).padStart(9)}  ${object_id}  at byte ${formatCount(content_offset)}`
  );
  const wrong = problems.map(({ code, message }) => `  ${code}: ${message}`);
  if (problems_total > problems.length) {
    wrong.push(`  and ${formatCount(problems_total - problems.length)} more`);
  }
  return [
    report.mpack_key,
    `  ${formatBytes(report.size_bytes)}, ${formatCount(counts.commits)} commits, ${
      formatCount(counts.snapshots)
    } snapshots, ${formatCount(counts.objects)} objects of ${formatBytes(report.content_bytes)}, ${
      formatCount(counts.tags)
    } tags`,
    `  nesting ${report.deepest} deep, ids ${report.is_sorted ? "sorted" : "not sorted"}, ${
      formatCount(report.bare_ids)
    } without sha256:`,
    ...titled("Sections", sections),
    ...titled("Object sizes", sizes),
    ...titled("Largest objects", objects),
    ...titled(`Problems: ${formatCount(problems_total)}`, wrong),
  ].join("\n");
}

function titled(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}
