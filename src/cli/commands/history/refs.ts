/**
 * `mpackd refs`: lists the branches and tags of a repo.
 *
 * @module
 */

import type { Command } from "commander";
import { type Branch, defaultBranch, listBranches } from "../../../db/history/branches.ts";
import { listTags, type Tag } from "../../../db/history/commit_names.ts";
import type { CommandContext } from "../../command.ts";
import { oneLine, shortId } from "../../history/commit_text.ts";
import { openRefs } from "../../history/open_history.ts";
import { print, printJson, tell, untilClosed } from "../../output.ts";

interface RefsFlags {
  readonly repo: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addRefsCommand(program: Command, context: CommandContext): void {
  program.command("refs")
    .summary("list the branches and tags of a repo")
    .description(
      "List the branches and tags of a repo with the commits that they name. A * marks the branch " +
        "that a clone checks out.",
    )
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--json", "print them as one JSON document")
    .action((flags: RefsFlags) =>
      context.run(flags, () => untilClosed(() => runRefs(flags, context)))
    );
}

async function runRefs(flags: RefsFlags, context: CommandContext): Promise<void> {
  await using refs = await openRefs(context, flags.repo);
  const { db, repoId } = refs;
  const main = await defaultBranch(db, repoId);
  if (flags.json) {
    const branches = await Array.fromAsync(listBranches(db, repoId), branchJson);
    const tags = await Array.fromAsync(listTags(db, repoId), tagJson);
    return await printJson({ default_branch: main, branches, tags });
  }
  let count = 0;
  for await (const { name, headCommitId } of listBranches(db, repoId)) {
    count++;
    await print(`${name === main ? "*" : " "} ${shortId(headCommitId)}  ${oneLine(name)}`);
  }
  for await (const { tag, commitId } of listTags(db, repoId)) {
    count++;
    await print(`  ${shortId(commitId)}  tag: ${oneLine(tag)}`);
  }
  if (count === 0) {
    tell(`${flags.repo} has no branches and no tags: index or push with --branch NAME makes one`);
  }
}

function branchJson({ name, headCommitId }: Branch) {
  return { name, head_commit_id: headCommitId };
}

function tagJson({ tag, commitId, createdAt }: Tag) {
  return { tag, commit_id: commitId, created_at: createdAt };
}
