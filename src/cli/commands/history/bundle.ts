/**
 * `mpackd bundle`: writes a repo's history as one pack.
 *
 * @module
 */

import type { Command } from "commander";
import { ConfigError } from "../../../errors.ts";
import { bundle } from "../../../history/bundle.ts";
import { resolveCommit } from "../../../history/resolve_commit.ts";
import type { CommandContext } from "../../command.ts";
import { openHistory } from "../../history/open_history.ts";
import { writeWhole } from "../../history/write_whole.ts";
import { printJson, tell } from "../../output.ts";
import { counted, formatBytes, LiveLine } from "../../terminal.ts";

interface BundleFlags {
  readonly repo: string;
  readonly branch?: readonly string[];
  readonly have?: readonly string[];
  readonly to: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addBundleCommand(program: Command, context: CommandContext): void {
  program.command("bundle")
    .summary("write a repo's history as one pack")
    .description(
      "Write the branches of a repo, with all that is reachable from them, as one pack: what a " +
        'reader lacks, or a backup of the repo. "mpackd index FILE --branches" takes it in again.',
    )
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--branch <name...>", "the branches to write (default: all, and all tags)")
    .option("--have <commit...>", "leave out what is reachable from these commits")
    .requiredOption("--to <file>", "where to write; - is stdout")
    .option("--json", "print what is in the bundle as one JSON document")
    .action((flags: BundleFlags) =>
      context.run(flags, (signal) => runBundle(flags, context, signal))
    );
}

async function runBundle(
  flags: BundleFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  if (flags.to === "-" && flags.json) {
    throw new ConfigError("Cannot use --json with --to -: both would write to stdout");
  }
  await using history = await openHistory(context, flags.repo);
  const { db, store, repoId } = history, have: string[] = [];
  for (const name of flags.have ?? []) have.push(await resolveCommit(db, repoId, name));
  const line = new LiveLine();
  try {
    await using made = await bundle({
      db,
      store,
      repoId,
      have,
      signal,
      ...(flags.branch && { branches: flags.branch }),
    });
    const sizeBytes = await writeWhole(flags.to, made.write(), {
      signal,
      onChunk: (bytes) => line.show({ label: "bundle", bytes, sizeBytes: 0 }),
    });
    line.clear();
    if (flags.json) return await printJson({ ...made.counts, size_bytes: sizeBytes });
    const { commits, objects, branches, tags } = made.counts;
    if (branches + tags === 0) {
      tell(`Warning: ${flags.repo} has no branch and no tag, so nothing of it is in the bundle`);
    }
    tell(
      `Wrote ${counted(branches, "branch", "branches")}, ${counted(tags, "tag")}, ` +
        `${counted(commits, "commit")} and ${counted(objects, "object")}, ` +
        `${formatBytes(sizeBytes)}, to ${flags.to}`,
    );
  } finally {
    line.clear();
  }
}
