/**
 * `mpackd ls-tree COMMIT[:PATH]`: lists the files of a commit.
 *
 * @module
 */

import { trimOf } from "../../../lib/text/trim.ts";
import type { Command } from "commander";
import type { Database } from "../../../db/client/database.ts";
import { HistoryError } from "../../../errors.ts";
import { readCommit } from "../../../history/read_commit.ts";
import { readManifest } from "../../../history/read_manifest.ts";
import { resolveCommit } from "../../../history/resolve_commit.ts";
import { comparePaths } from "../../../lib/record_ids.ts";
import type { CommandContext } from "../../command.ts";
import { openHistory } from "../../history/open_history.ts";
import { print, untilClosed } from "../../output.ts";

const LINES_AT_ONCE = 200;

interface LsTreeFlags {
  readonly repo: string;
  readonly recursive?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addLsTreeCommand(program: Command, context: CommandContext): void {
  program.command("ls-tree")
    .summary("list the files of a commit")
    .description("List the files and folders of a commit, or of one of its folders.")
    .argument("<commit[:path]>", "a branch, a tag, or an id or its beginning; and a path")
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("-r, --recursive", "list the files in folders, too")
    .option("--json", "print each entry as one line of JSON")
    .action((name: string, flags: LsTreeFlags) =>
      context.run(flags, (signal) => untilClosed(() => runLsTree(name, flags, context, signal)))
    );
}

async function runLsTree(
  name: string,
  flags: LsTreeFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  await using history = await openHistory(context, flags.repo);
  const { db, store, repoId } = history;
  const { commitId, path } = await resolvePath(db, repoId, name);
  const { snapshotId } = await readCommit({ db, store, repoId, commitId, signal });
  const manifest = readManifest({ db, store, repoId, snapshotId, signal });
  const lineOf = flags.json ? jsonLine : textLine;
  let lines: string[] = [];
  for await (const entry of entriesOf(manifest, path, flags.recursive ?? false)) {
    lines.push(lineOf(entry));
    if (lines.length < LINES_AT_ONCE) continue;
    await print(lines.join("\n"));
    lines = [];
  }
  if (lines.length > 0) await print(lines.join("\n"));
}

/**
 * Splits COMMIT and PATH. Branch names and paths may have colons, so the shortest name that is one
 * counts; the text as a whole counts first.
 */
async function resolvePath(
  db: Database,
  repoId: string,
  text: string,
): Promise<{ commitId: string; path: string }> {
  const colons = [...text.matchAll(/:/g)].map(({ index }) => index).slice(0, 16);
  let failure: unknown;
  for (const at of [text.length, ...colons]) {
    try {
      const commitId = await resolveCommit(db, repoId, text.slice(0, at));
      return { commitId, path: trimOf(text.slice(at + 1), "/") };
    } catch (error) {
      if (!(error instanceof HistoryError)) throw error;
      failure = error;
    }
  }
  throw failure;
}

interface Entry {
  readonly path: string;
  /** Undefined for a folder. */
  readonly objectId: string | undefined;
}

/** The entries at a path: of the folder, or the file itself. */
async function* entriesOf(
  manifest: AsyncIterable<readonly [path: string, objectId: string]>,
  path: string,
  isRecursive: boolean,
): AsyncGenerator<Entry, void, undefined> {
  const prefix = path === "" ? "" : `${path}/`;
  let folder: string | undefined, isThere = path === "";
  for await (const [file, objectId] of manifest) {
    const isInside = file.startsWith(prefix);
    if (!isInside && file !== path) {
      // What is in the folder lies together, behind all that is less.
      if (comparePaths(file, prefix) > 0) break;
      continue;
    }
    isThere = true;
    const slash = isInside ? file.indexOf("/", prefix.length) : -1;
    if (isRecursive || slash < 0) yield { path: file, objectId };
    else if (folder !== file.slice(0, slash)) {
      folder = file.slice(0, slash);
      yield { path: folder, objectId: undefined };
    }
  }
  if (isThere) return;
  const shown = JSON.stringify(path.slice(0, 300));
  throw new HistoryError("history-not-found", `Cannot find ${shown} in this commit`);
}

function textLine({ path, objectId }: Entry): string {
  // A path may have a line feed, which must not look like another entry.
  const shown = path.includes("\n") ? JSON.stringify(path) : path;
  return objectId === undefined
    ? `${" ".repeat(71)}  ${shown}/`
    : `${objectId.padEnd(71)}  ${shown}`;
}

function jsonLine({ path, objectId }: Entry): string {
  return JSON.stringify(
    objectId === undefined ? { type: "folder", path } : { type: "file", path, object_id: objectId },
  );
}
