/**
 * `mpackd inspect MPACK…`: prints what mpacks contain, and what is wrong with them.
 *
 * @module
 */

import type { Command } from "commander";
import { blobKeyOf, type Config, limitsOf } from "../../config/config.ts";
import type { Shard } from "../../db/shards/shard.ts";
import type { BlobReader } from "../../stream/store/blob_store.ts";
import { inspectMpack, type MpackReport } from "../../maintenance/inspect.ts";
import { eachSource, sourceMember } from "../each_source.ts";
import { warningText } from "../../lib/text/pack_warnings.ts";
import { EXIT } from "../exit.ts";
import { parseCount } from "../flags.ts";
import type { CommandContext } from "../command.ts";
import { isKey, openOnce } from "../mpack_source.ts";
import { isShortKey, mpackKeyOf } from "../named_ids.ts";
import { findBlobAnywhere } from "../shards/find_mpack.ts";
import { print, printJson } from "../output.ts";
import { counted, formatBytes, formatCount, LiveLine } from "../terminal.ts";
import { openRepo } from "../shards/open_repo.ts";
import { openDatabase, openStoreOf } from "../resources.ts";

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
    .summary("print what mpacks contain")
    .description(
      "Print what an mpack contains: sections, counts, object sizes, nesting, and its problems. " +
        "Reads it once and writes nothing. Needs a database only for a key. " +
        "Exit code 3 if there is a problem.",
    )
    .argument(
      "<mpacks...>",
      "a file, - for stdin, s3://bucket/key, sha256:<64 hex digits> or how a key begins",
    )
    .option("--repo <owner/slug>", "the repo of a key. Default: any that has it")
    .option("--objects", "also hash every object, and list those that do not match their id")
    .option("--largest <count>", "number of the largest objects to list", "10")
    .option("--json", "print the report as one JSON document")
    .action((mpacks: string[], flags: InspectFlags) =>
      context.run(flags, (signal) =>
        eachSource(mpacks, flags, async (mpack) => {
          const report = await runInspect(mpack, flags, context.config(), signal);
          if (flags.json) await printJson({ ...sourceMember(mpacks, mpack), ...report });
          else await print(textOf(report));
          return report.problems_total === 0 ? EXIT.ok : EXIT.rejected;
        }))
    );
}

async function runInspect(
  mpack: string,
  flags: InspectFlags,
  config: Config,
  signal: AbortSignal,
): Promise<MpackReport> {
  const largest = parseCount("--largest", flags.largest, { max: 999_999 });
  const line = new LiveLine();
  try {
    const { reader, mpackKey } = await openMpack(mpack, flags, config, signal);
    await using _reader = reader;
    const report = await inspectMpack(reader, {
      signal,
      limits: limitsOf(config),
      largest,
      isHashing: flags.objects,
      onProgress: (bytes, sizeBytes) => line.show({ label: "inspect", bytes, sizeBytes }),
    });
    if (mpackKey === undefined || report.mpack_key === mpackKey) return report;
    const message = `The blob under ${mpackKey} has the key ${report.mpack_key}`;
    return {
      ...report,
      is_valid: false,
      problems: [...report.problems, { code: "digest-mismatch", message }],
      problems_total: report.problems_total + 1,
    };
  } finally {
    line.clear();
  }
}

async function openMpack(
  mpack: string,
  { repo }: InspectFlags,
  config: Config,
  signal: AbortSignal,
): Promise<{ readonly reader: BlobReader; readonly mpackKey?: string }> {
  const isShort = await isShortKey(mpack);
  if (!isShort && !isKey(mpack)) return { reader: await openOnce(mpack, config, { signal }) };
  const { mpackKey, blobKey, shard } = await findBlob(mpack, { repo, isShort }, config);
  const store = await openStoreOf(shard, config);
  return { reader: await store.open(blobKey, { signal }), mpackKey };
}

/** Where the blob of a key is, or of how a key begins. */
async function findBlob(
  mpack: string,
  { repo, isShort }: { readonly repo?: string; readonly isShort: boolean },
  config: Config,
): Promise<
  { readonly mpackKey: string; readonly blobKey: string; readonly shard: Shard | undefined }
> {
  if (!isShort && !config.blobKey.includes("{repo_id}")) {
    return { mpackKey: mpack, blobKey: blobKeyOf(config.blobKey, "", mpack), shard: undefined };
  }
  await using opened = await openDatabase(config);
  if (repo === undefined) return await findBlobAnywhere(opened, mpack);
  const { db, repoId, shard } = await openRepo(opened, repo);
  const mpackKey = await mpackKeyOf(db, repoId, mpack);
  return { mpackKey, blobKey: blobKeyOf(config.blobKey, repoId, mpackKey), shard };
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
    `  ${formatBytes(report.size_bytes)}, ${counted(counts.commits, "commit")}, ${
      counted(counts.snapshots, "snapshot")
    }, ${counted(counts.objects, "object")} of ${formatBytes(report.content_bytes)}, ${
      counted(counts.tags, "tag")
    }`,
    ...report.warnings.map((code) => `  warning: ${warningText(code)}`),
    ...(report.unverified_deltas === 0 ? [] : [
      `  ${counted(report.unverified_deltas, "snapshot")} not verified: deltas to one outside it`,
    ]),
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
