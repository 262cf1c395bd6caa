/**
 * `mpackd ls --repo OWNER/SLUG`: lists the objects of a repo.
 *
 * @module
 */

import type { Command } from "commander";
import { type ListedObject, listObjects } from "../../../db/refs.ts";
import { digestOf } from "../../../lib/ids.ts";
import type { CommandContext } from "../../command.ts";
import { parseCount } from "../../flags.ts";
import { shortId } from "../../history/commit_text.ts";
import { openRefs } from "../../history/open_history.ts";
import { print, tell, untilClosed } from "../../output.ts";
import { formatBytes } from "../../terminal.ts";

const OBJECTS_PER_STATEMENT = 1_000;

interface LsFlags {
  readonly repo: string;
  readonly after?: string;
  readonly limit?: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addLsCommand(program: Command, context: CommandContext): void {
  program.command("ls")
    .summary("list the objects of a repo")
    .description(
      "List the objects that a repo can read, by id: length in its mpack, id, and the mpack. The " +
        "files of a commit are listed by ls-tree.",
    )
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--after <object_id>", "begin after this id: where an earlier list ended")
    .option("--limit <n>", "the most objects to list. Default: all")
    .option("--json", "print each object as one line of JSON")
    .action((flags: LsFlags) => context.run(flags, () => untilClosed(() => runLs(flags, context))));
}

async function runLs(flags: LsFlags, context: CommandContext): Promise<void> {
  let left = flags.limit === undefined ? Infinity : parseCount("--limit", flags.limit, { min: 1 });
  await using refs = await openRefs(context, flags.repo);
  const { db, repoId } = refs, lineOf = flags.json ? jsonLine : textLine;
  let after = flags.after ?? "", isEmpty = true;
  while (left > 0) {
    const limit = Math.min(left, OBJECTS_PER_STATEMENT);
    const page = await listObjects(db, repoId, { after, limit });
    if (page.length > 0) await print(page.map(lineOf).join("\n"));
    isEmpty &&= page.length === 0;
    left -= page.length;
    if (page.length < limit) break;
    after = page[page.length - 1].objectId;
  }
  if (isEmpty) {
    const which = flags.after === undefined ? "no objects" : `no objects after ${flags.after}`;
    tell(`${flags.repo} has ${which}`);
  }
}

function textLine({ objectId, sizeBytes, encoding, mpackKey, damagedAt }: ListedObject): string {
  const size = sizeBytes === null ? "?" : formatBytes(sizeBytes);
  const notes = [
    ...(mpackKey === null ? ["in no mpack"] : [shortId(mpackKey)]),
    ...(encoding === null ? [] : [encoding]),
    ...(damagedAt === null ? [] : ["damaged"]),
  ];
  const prefix = digestOf(objectId) === objectId ? "       " : "";
  return `${size.padStart(8)}  ${prefix}${objectId}  ${notes.join("  ")}`;
}

function jsonLine({ objectId, sizeBytes, encoding, mpackKey, damagedAt }: ListedObject): string {
  return JSON.stringify({
    object_id: objectId,
    size_bytes: sizeBytes,
    encoding,
    mpack_key: mpackKey,
    damaged_at: damagedAt,
  });
}
