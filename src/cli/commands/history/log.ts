/**
 * `mpackd log [COMMIT]`: lists a commit and its ancestors.
 *
 * @module
 */

import type { Command } from "commander";
import { defaultBranch, findHead } from "../../../db/history/branches.ts";
import { resolveCommit } from "../../../history/resolve_commit.ts";
import { walkCommits } from "../../../history/walk_commits.ts";
import type { CommandContext } from "../../command.ts";
import { parseCount } from "../../flags.ts";
import { commitJson, type CommitToShow, fullText, shortText } from "../../history/commit_text.ts";
import { Graph } from "../../history/graph_lines.ts";
import { openRefs } from "../../history/open_history.ts";
import { refNames } from "../../history/ref_names.ts";
import { print, tell, untilClosed } from "../../output.ts";

const PAGE_COMMITS = 100;

interface LogFlags {
  readonly repo: string;
  readonly limit?: string;
  readonly oneline?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addLogCommand(program: Command, context: CommandContext): void {
  program.command("log")
    .summary("list the commits of a repo, the newest first")
    .description(
      "List a commit and its ancestors, the newest first, with a graph of branches and merges. " +
        "Commits are read page by page, so that the first ones come at once.",
    )
    .argument("[commit]", "a branch, a tag, or an id or its beginning (default: the first branch)")
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("-n, --limit <count>", "list at most this many commits")
    .option("--oneline", "one line for each commit")
    .option("--json", "print each commit as one line of JSON")
    .action((commit: string | undefined, flags: LogFlags) =>
      context.run(flags, (signal) => untilClosed(() => runLog(commit, flags, context, signal)))
    );
}

async function runLog(
  name: string | undefined,
  flags: LogFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  let left = flags.limit === undefined ? Infinity : parseCount("--limit", flags.limit);
  await using refs = await openRefs(context, flags.repo);
  const { db, repoId } = refs;
  const from = name === undefined
    ? await findHead(db, repoId, await defaultBranch(db, repoId))
    : await resolveCommit(db, repoId, name);
  if (from === undefined) {
    return tell(
      `${flags.repo} has no branch ${await defaultBranch(db, repoId)} yet: index or push with ` +
        "--branch NAME makes one",
    );
  }
  const names = await refNames(db, repoId);
  const draw = flags.json ? jsonLine : drawer(flags.oneline ? shortText : fullText);
  const pageCommits = Math.min(PAGE_COMMITS, Math.max(1, left));
  for await (const { commits } of walkCommits({ db, repoId, from, pageCommits, signal })) {
    const shown = commits.slice(0, left);
    const lines = shown.flatMap((commit) => {
      return draw({ ...commit, names: names.get(commit.commitId) ?? [] });
    });
    if (lines.length > 0) await print(lines.join("\n"));
    left -= shown.length;
    if (left <= 0) return;
  }
}

function jsonLine(commit: CommitToShow): string[] {
  return [JSON.stringify(commitJson(commit))];
}

/** Writes each commit's text beside the graph. */
function drawer(textOf: (commit: CommitToShow) => string[]): (commit: CommitToShow) => string[] {
  const graph = new Graph();
  return (commit) => {
    const text = textOf(commit), { lines, rest } = graph.draw(commit.commitId, commit.parentIds);
    const width = Math.max(...lines.map((line) => line.length), rest.length) + 1;
    const count = Math.max(text.length, lines.length);
    return Array.from(
      { length: count },
      (_, i) => `${(lines[i] ?? rest).padEnd(width)}${text[i] ?? ""}`.trimEnd(),
    );
  };
}
