/**
 * `mpackd export --repo OWNER/SLUG --to DIR|FILE.tar|-`: writes many objects as files.
 *
 * @module
 */

import type { Command } from "commander";
import { ConfigError, type MpackdError, ObjectError } from "../../errors.ts";
import { readObjects } from "../../objects/read_objects.ts";
import { isObjectId } from "../../lib/ids.ts";
import { EXIT } from "../exit.ts";
import { openFolderSink } from "../export/folder.ts";
import type { ExportSink } from "../export/sink.ts";
import { openTarSink } from "../export/tar.ts";
import type { CommandContext } from "../command.ts";
import { readLines } from "../input.ts";
import { printJson, tell } from "../output.ts";
import { counted, formatBytes, formatCount, formatMs, LiveLine } from "../terminal.ts";
import { openRepo } from "../shards/open_repo.ts";
import { openResources } from "../resources.ts";

/** The most refusals listed by id; the others are only counted. */
const MAX_REFUSALS = 1_000;

interface ExportFlags {
  readonly repo: string;
  readonly to: string;
  readonly ids?: string;
  readonly json?: boolean;
}

/** The result, as `--json` prints it. */
interface ExportResult {
  objects: number;
  bytes: number;
  refused: number;
  refusals: { object_id: string; code: string; message: string }[];
  elapsed_ms: number;
}

/** Adds the command. */
export function addExportCommand(program: Command, context: CommandContext): void {
  program.command("export")
    .summary("write many objects to a folder or a tar archive")
    .description(
      "Write a repo's objects as files named by their ids. Each object is checked against its id. " +
        "Objects that cannot be read are listed, and the others follow; then the exit code is 3. " +
        "Only an archive on stdout ends at a damaged object, if that is larger than 1 MiB.",
    )
    .requiredOption("--repo <owner/slug>", "the repo that has the objects")
    .requiredOption(
      "--to <place>",
      "a folder, a file that ends in .tar, or - for a tar archive on stdout",
    )
    .option("--ids <file>", "only these ids, one per line; - reads them from stdin. Default: all")
    .option("--json", "print the result as one JSON document")
    .action((flags: ExportFlags) =>
      context.run(flags, (signal) => runExport(flags, context, signal))
    );
}

async function runExport(
  flags: ExportFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<number> {
  if (flags.to === "-" && flags.json) {
    throw new ConfigError("Cannot use --json with --to -: both would write to stdout");
  }
  await using resources = await openResources(context.config(), {
    isWriting: false,
    maxConnections: 1,
  });
  const { db, store, repoId } = await openRepo(resources, flags.repo);
  const objectIds = flags.ids === undefined ? undefined : await readLines(flags.ids);
  const isTar = flags.to === "-" || flags.to.endsWith(".tar");
  const sink = await (isTar ? openTarSink : openFolderSink)(flags.to);
  const result = newResult();
  const onRefused = (error: MpackdError, objectId: string) => note(result, error, objectId);
  try {
    const entries = readObjects({
      db,
      store,
      repoId,
      objectIds,
      order: "stored",
      maxContentBytes: context.config().maxContentBytes,
      onRefused,
      signal,
    });
    await writeAll(entries, sink, result);
    await sink.commit();
  } catch (error) {
    await sink.discard();
    throw error;
  }
  if (flags.json) await printJson(result);
  else tell(summary(result, flags.to));
  return result.refused > 0 ? EXIT.rejected : EXIT.ok;
}

async function writeAll(
  entries: ReturnType<typeof readObjects>,
  sink: ExportSink,
  result: ExportResult,
): Promise<void> {
  const line = new LiveLine(), startedAt = performance.now();
  try {
    for await (const entry of entries) {
      const { objectId, sizeBytes } = entry;
      // Other programs write to the database, too, and the id becomes a file name.
      if (!isObjectId(objectId)) {
        const message = `Cannot export ${JSON.stringify(objectId)}: it is not an object id`;
        note(result, new ObjectError("object-not-found", message), objectId);
        continue;
      }
      try {
        await sink.write(entry);
      } catch (error) {
        if (!(error instanceof ObjectError && sink.canSkip)) throw error;
        note(result, error, objectId);
        continue;
      }
      result.objects++;
      result.bytes += sizeBytes;
      line.show({
        label: "export",
        bytes: result.bytes,
        sizeBytes: 0,
        note: counted(result.objects, "object"),
      });
    }
  } finally {
    line.clear();
    result.elapsed_ms = Math.round(performance.now() - startedAt);
  }
}

function newResult(): ExportResult {
  return { objects: 0, bytes: 0, refused: 0, refusals: [], elapsed_ms: 0 };
}

function note(result: ExportResult, { code, message }: MpackdError, objectId: string): void {
  result.refused++;
  tell(`${message} (${code})`);
  if (result.refusals.length < MAX_REFUSALS) {
    result.refusals.push({ object_id: objectId, code, message });
  }
}

function summary({ objects, bytes, refused, elapsed_ms }: ExportResult, to: string): string {
  const speed = elapsed_ms > 0 ? ` (${(bytes / elapsed_ms / 1000).toFixed(1)} MB/s)` : "";
  const rest = refused > 0 ? `; ${formatCount(refused)} could not be read` : "";
  return `Exported ${counted(objects, "object")}, ${formatBytes(bytes)}, to ${to} in ` +
    `${formatMs(elapsed_ms)}${speed}${rest}`;
}
