/**
 * `mpackd repack --repo OWNER/SLUG`: packs a repo's small mpacks into few.
 *
 * @module
 */

import type { Command } from "commander";
import { limitsOf } from "../../../config/config.ts";
import { parseRepoName, resolveRepo } from "../../../db/repos.ts";
import { repack, type RepackSummary } from "../../../maintenance/repack/repack.ts";
import type { CommandContext } from "../../command.ts";
import { parseBytes } from "../../flags.ts";
import { print, printJson, tell } from "../../output.ts";
import { counted, formatBytes, formatCount, formatMs } from "../../terminal.ts";
import { openResources } from "../../resources.ts";

const GIB = 1024 * 1024 * 1024;

interface RepackFlags {
  readonly repo: string;
  readonly packBytes?: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addRepackCommand(program: Command, context: CommandContext): void {
  program.command("repack")
    .summary("pack a repo's small mpacks into few")
    .description(
      "Copy what a repo's small mpacks hold into few new ones, in the order in which a clone reads " +
        "it, and let the rows point there. Every object and record is checked on the way; deltas " +
        "of snapshots become full ones. Safe beside pushes and reads, and safe to kill at any time. " +
        "The old mpacks go with gc, after its grace time.",
    )
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--pack-bytes <bytes>", "the most bytes of a new mpack (default: 1 GiB)")
    .option("--json", "print the result as one JSON document")
    .action((flags: RepackFlags) =>
      context.run(flags, async (signal) => {
        const summary = await runRepack(flags, context, signal);
        if (flags.json) await printJson(summary);
        else await print(textOf(summary));
      })
    );
}

async function runRepack(
  flags: RepackFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<RepackSummary> {
  const config = context.config();
  const packBytes = flags.packBytes === undefined
    ? GIB
    : parseBytes("--pack-bytes", flags.packBytes);
  await using resources = await openResources(config, { isWriting: true });
  const { db, store } = resources;
  const { repoId } = await resolveRepo(db, parseRepoName(flags.repo), { create: false });
  return await repack({
    db,
    store,
    config,
    limits: limitsOf(config),
    repoId,
    maxContentBytes: config.maxContentBytes,
    packBytes: Math.min(packBytes, config.maxPackBytes),
    signal,
    onPack: (packs) => flags.json || tell(`Packing ${counted(packs, "mpack")} into one`),
  });
}

function textOf({ packs_before, packs_after, bytes, rows, elapsed_ms }: RepackSummary): string {
  if (packs_before === 0) return "Nothing to pack: the repo has few mpacks, or large ones";
  return `Packed ${counted(packs_before, "mpack")} into ${formatCount(packs_after)}, ` +
    `${formatBytes(bytes)} with ${formatCount(rows)} commits, snapshots and objects, in ` +
    formatMs(elapsed_ms);
}
