/**
 * `mpackd check FILE…`: says whether mpacks are valid, and with `--missing` what a push would lack.
 *
 * @module
 */

import type { Command } from "commander";
import { type Config, limitsOf } from "../../config/config.ts";
import { ConfigError } from "../../errors.ts";
import { inspectMpack, type MpackReport } from "../../maintenance/inspect.ts";
import { guardMpack, type GuardResult } from "../../objects/guard_mpack.ts";
import { describe } from "../../jobs/attempt/error_record.ts";
import { warningText } from "../../lib/text/pack_warnings.ts";
import { eachSource, sourceMember } from "../each_source.ts";
import { EXIT, exitCodeOf } from "../exit.ts";
import type { CommandContext } from "../command.ts";
import { openInput } from "../input.ts";
import { openOnce, requireSources } from "../mpack_source.ts";
import { print, printJson, tell } from "../output.ts";
import { counted, formatBytes, LiveLine } from "../terminal.ts";
import { openRepo } from "../shards/open_repo.ts";
import { openDatabase } from "../resources.ts";

interface CheckFlags {
  readonly repo?: string;
  readonly missing?: boolean;
  readonly json?: boolean;
}

/** Adds the command, and `guard`, as `check --missing` was called. */
export function addCheckCommand(program: Command, context: CommandContext): void {
  program.command("check")
    .summary("say whether mpacks are valid, and what a push of them would lack")
    .description(
      "Read mpacks and say whether an index would accept them; inspect says more. With --missing, " +
        "list the object ids that their snapshots name and that are neither in the mpack nor in " +
        "the repo, one per line, sorted. Changes nothing. Exit code 3 if there is a problem, or " +
        "something is missing.",
    )
    .argument("<files...>", "mpacks, or - for stdin")
    .option("--missing", "list what a push would lack; needs --repo")
    .option("--repo <owner/slug>", "the repo that they would be pushed to")
    .option("--json", "print one JSON document for each mpack")
    .action((files: string[], flags: CheckFlags) =>
      context.run(flags, (signal) => runCheck(files, flags, context, signal))
    );
  program.command("guard", { hidden: true })
    .summary("the former name of check --missing")
    .argument("<files...>", "mpacks, or - for stdin")
    .requiredOption("--repo <owner/slug>", "the repo that they would be pushed to")
    .option("--json", "print one JSON document for each mpack")
    .action((files: string[], flags: CheckFlags) =>
      context.run(
        flags,
        (signal) => runCheck(files, { ...flags, missing: true }, context, signal),
      )
    );
}

async function runCheck(
  files: readonly string[],
  flags: CheckFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<number> {
  const config = context.config(), { repo, missing = false } = flags;
  if (missing && repo === undefined) {
    throw new ConfigError("Cannot tell what is missing without --repo: name the repo");
  }
  if (!missing && repo !== undefined) {
    throw new ConfigError("Cannot use --repo without --missing: an mpack is valid for any repo");
  }
  await requireSources(files);
  if (!missing) {
    return await eachSource(files, flags, async (file) => {
      const report = await inspectOne(file, config, signal);
      if (flags.json) await printJson({ ...sourceMember(files, file), ...report });
      else {
        await print(validText(file, report));
        for (const code of report.warnings) tell(`${file}: ${warningText(code)}`);
      }
      return report.problems_total === 0 ? EXIT.ok : EXIT.rejected;
    });
  }
  await using opened = await openDatabase(config, { maxConnections: 1 });
  const { db, repoId } = await openRepo(opened, repo!);
  return await eachSource(files, flags, async (file) => {
    const { readable } = await openInput(file), line = new LiveLine();
    const mpack = counting(readable, (bytes) => line.show({ label: "check", bytes }));
    const list = flags.json ? jsonList(sourceMember(files, file)) : undefined;
    try {
      const result = await guardMpack({
        db,
        repoId,
        mpack,
        limits: limitsOf(config),
        signal,
        onMissing: list?.add ?? ((page) => {
          line.clear();
          return print(page.join("\n"));
        }),
      });
      line.clear();
      if (list) await list.end(result);
      else tell(missingText(result, file, repo!));
      return result.missing > 0 ? EXIT.rejected : EXIT.ok;
    } catch (error) {
      if (!list?.isBegun) throw error;
      await list.end({ error: describe(error as Error) });
      return exitCodeOf(error);
    } finally {
      line.clear();
    }
  });
}

/** The same chunks, and how many bytes have come. */
async function* counting<T extends Uint8Array>(
  chunks: AsyncIterable<T>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<T, void, undefined> {
  let bytes = 0;
  for await (const chunk of chunks) {
    yield chunk;
    onBytes(bytes += chunk.length);
  }
}

async function inspectOne(file: string, config: Config, signal: AbortSignal): Promise<MpackReport> {
  const line = new LiveLine();
  try {
    await using reader = await openOnce(file, config, { signal });
    return await inspectMpack(reader, {
      signal,
      limits: limitsOf(config),
      largest: 0,
      onProgress: (bytes, sizeBytes) => line.show({ label: "check", bytes, sizeBytes }),
    });
  } finally {
    line.clear();
  }
}

function validText(file: string, { counts, ...report }: MpackReport): string {
  const wrong = report.problems.map(({ code, message }) => `${file}: ${message} (${code})`);
  if (wrong.length > 0) return wrong.join("\n");
  return `${file}: valid, ${formatBytes(report.size_bytes)}, ${
    counted(counts.commits, "commit")
  }, ` +
    `${counted(counts.objects, "object")}, key ${report.mpack_key}`;
}

/** One JSON document that is printed while its ids arrive: they may not fit into memory. */
function jsonList(source: { readonly source?: string }) {
  const start = JSON.stringify({ ...source, missing_ids: [] }).slice(0, -2);
  let between = start;
  return {
    get isBegun() {
      return between === ",";
    },
    async add(ids: readonly string[]) {
      await print(between + JSON.stringify(ids).slice(1, -1));
      between = ",";
    },
    async end(rest: object) {
      await print(`${this.isBegun ? "" : between}],${JSON.stringify(rest).slice(1)}`);
    },
  };
}

function missingText(
  { manifest_entries, objects, missing }: GuardResult,
  file: string,
  repo: string,
): string {
  const verdict = missing === 0
    ? "Nothing is missing"
    : counted(missing, "id is missing", "ids are missing");
  return `${verdict} in ${repo}: ${
    counted(manifest_entries, "manifest entry", "manifest entries")
  }, ` +
    `${counted(objects, "object")} in ${file === "-" ? "the mpack" : file}`;
}
