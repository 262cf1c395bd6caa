/**
 * Writes commits for people.
 *
 * @module
 */

import type { ListedCommit } from "../../history/walk_commits.ts";
import { digestOf } from "../../lib/ids.ts";

const SHORT_DIGITS = 12;

/** The first digits of an id. Any command takes them in place of it while they are unique. */
export function shortId(id: string): string {
  return digestOf(id).slice(0, SHORT_DIGITS);
}

/** The first line of a message. */
function titleOf(message: string): string {
  return oneLine(message.trimStart().split("\n", 1)[0]);
}

/** A text that is shown on one line, such as an author. */
export function oneLine(text: string): string {
  return text.split("\n").map((part) => part.trim()).filter((part) => part !== "").join(" ");
}

const TIME = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|([+-]\d\d):?(\d\d))$/;

/** `2026-11-23 00:43:54 +0000`; as it is if it is not a time of ISO 8601. */
export function timeText(committedAt: string): string {
  const [, date, time, hours = "+00", minutes = "00"] = TIME.exec(committedAt) ?? [];
  return date === undefined ? oneLine(committedAt) : `${date} ${time} ${hours}${minutes}`;
}

/** What a list shows of one commit: `names` are its branches and tags. */
export interface CommitToShow extends ListedCommit {
  readonly names: readonly string[];
}

/** The commit on one line. */
export function shortText(commit: CommitToShow): string[] {
  const { committedAt, author, message } = commit;
  const day = timeText(committedAt).slice(0, 10);
  const parts = [shortId(commit.commitId), day, titleOf(message)];
  const by = oneLine(author);
  if (by !== "") parts.push(`<${by}>`);
  return [`${parts.join("  ")}${namesText(commit.names)}`];
}

/** The commit with all of its message. */
export function fullText(commit: CommitToShow): string[] {
  const { commitId, parentIds, author, committedAt, message, names } = commit;
  return [
    `commit ${shortId(commitId)}${namesText(names)}`,
    ...(parentIds.length > 1 ? [`Merge:  ${parentIds.map(shortId).join(" ")}`] : []),
    `Author: ${oneLine(author) || "(nobody)"}`,
    `Date:   ${timeText(committedAt)}`,
    "",
    ...message.trimEnd().split("\n").map((line) => `    ${line}`.trimEnd()),
    "",
  ];
}

function namesText(names: readonly string[]): string {
  return names.length === 0 ? "" : ` (${names.map(oneLine).join(", ")})`;
}

/** A commit for programs, in snake_case. */
export function commitJson(commit: CommitToShow): Record<string, unknown> {
  return {
    commit_id: commit.commitId,
    parent_ids: commit.parentIds,
    snapshot_id: commit.snapshotId,
    author: commit.author,
    committed_at: commit.committedAt,
    message: commit.message,
    names: commit.names,
  };
}
