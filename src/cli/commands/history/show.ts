/**
 * `mpackd show COMMIT`: shows one commit and the files that it changed.
 *
 * @module
 */

import type { Command } from "commander";
import { diffManifests, type FileChange } from "../../../history/diff_manifests.ts";
import { type Commit, readCommit } from "../../../history/read_commit.ts";
import { type ManifestEntry, readManifest } from "../../../history/read_manifest.ts";
import { resolveCommit } from "../../../history/resolve_commit.ts";
import type { CommandContext } from "../../command.ts";
import { oneLine, timeText } from "../../history/commit_text.ts";
import { type OpenHistory, openHistory } from "../../history/open_history.ts";
import { print, untilClosed } from "../../output.ts";

interface ShowFlags {
  readonly repo: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addShowCommand(program: Command, context: CommandContext): void {
  program.command("show")
    .summary("show one commit and the files that it changed")
    .description(
      "Show one commit, and the files that were added (A), modified (M) or deleted (D) since its " +
        "first parent.",
    )
    .argument("<commit>", "a branch, a tag, or an id or its beginning")
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--json", "print the commit, then each file, as one line of JSON each")
    .action((name: string, flags: ShowFlags) =>
      context.run(flags, (signal) => untilClosed(() => runShow(name, flags, context, signal)))
    );
}

async function runShow(
  name: string,
  flags: ShowFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  await using history = await openHistory(context, flags.repo);
  const { db, store, repoId } = history;
  const commitId = await resolveCommit(db, repoId, name);
  const commit = await readCommit({ db, store, repoId, commitId, signal });
  await print(flags.json ? JSON.stringify(commitJson(commit)) : textOf(commit));
  for await (const change of changesOf(commit, history, signal)) {
    await print(flags.json ? JSON.stringify(changeJson(change)) : changeText(change));
  }
}

async function* changesOf(
  { snapshotId, parentIds: [parentId] }: Commit,
  { db, store, repoId }: OpenHistory,
  signal: AbortSignal,
): AsyncGenerator<FileChange, void, undefined> {
  const manifestOf = (id: string) => readManifest({ db, store, repoId, snapshotId: id, signal });
  const parent = parentId === undefined
    ? undefined
    : await readCommit({ db, store, repoId, commitId: parentId, signal });
  if (parent?.snapshotId === snapshotId) return;
  const before = parent === undefined ? nothing() : manifestOf(parent.snapshotId);
  yield* diffManifests(before, manifestOf(snapshotId));
}

async function* nothing(): AsyncGenerator<ManifestEntry, void, undefined> {}

const NAME_CHARACTERS = 14;

function field(name: string, value: string): string {
  return `${name.padEnd(NAME_CHARACTERS)} ${value}`;
}

function textOf(commit: Commit): string {
  const { commitId, parentIds, snapshotId, author, committedAt, message, testRuns } = commit;
  const others = Object.entries(commit.texts), metadata = Object.entries(commit.metadata);
  return [
    field("commit", commitId),
    ...parentIds.map((id) => field("parent", id)),
    field("snapshot", snapshotId),
    field("author", oneLine(author) || "(nobody)"),
    field("date", timeText(committedAt)),
    ...others.map(([name, text]) => field(oneLine(name), oneLine(text))),
    ...metadata.map(([name, text]) => field("metadata", oneLine(`${name}: ${text}`))),
    ...commit.reviewedBy.map((name) => field("reviewed by", oneLine(name))),
    ...(testRuns === 0 ? [] : [field("test runs", String(testRuns))]),
    "",
    ...message.trimEnd().split("\n").map((line) => `    ${line}`.trimEnd()),
    "",
  ].join("\n");
}

function commitJson(commit: Commit): Record<string, unknown> {
  return {
    commit_id: commit.commitId,
    parent_ids: commit.parentIds,
    snapshot_id: commit.snapshotId,
    author: commit.author,
    committed_at: commit.committedAt,
    message: commit.message,
    metadata: commit.metadata,
    reviewed_by: commit.reviewedBy,
    test_runs: commit.testRuns,
    others: commit.texts,
  };
}

function changeText({ path, before, after }: FileChange): string {
  const letter = before === undefined ? "A" : after === undefined ? "D" : "M";
  return `${letter} ${path.includes("\n") ? JSON.stringify(path) : path}`;
}

function changeJson({ path, before, after }: FileChange): Record<string, unknown> {
  return { path, before: before ?? null, after: after ?? null };
}
