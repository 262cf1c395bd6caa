/**
 * `mpackd shard drain`: lets a shard get no new repos.
 *
 * @module
 */

import type { Command } from "commander";
import { drain } from "../../../maintenance/shards/remove_shard.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { openCatalog } from "../../shards/open_move.ts";

interface DrainFlags {
  readonly undo?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addShardDrainCommand(shard: Command, context: CommandContext): void {
  shard.command("drain")
    .description("Let a shard get no new repos; those that are there stay, and are used.")
    .argument("<name>", "the shard")
    .option("--undo", "let it get new repos again")
    .option("--dry-run", "only say what would be changed")
    .option("--json", "print the result as one JSON document")
    .action((name: string, flags: DrainFlags) =>
      context.run(flags, async () => {
        const { undo: isUndone = false, dryRun: isDryRun = false } = flags;
        await using opened = await openCatalog(context.config());
        await drain(opened.catalog, name, { isUndone, isDryRun });
        const state = isUndone ? "open" : "drained";
        if (flags.json) return await printJson({ shard: name, dry_run: isDryRun, state });
        const what = isUndone ? "new repos again" : "no new repos";
        await print(`Shard ${name} ${isDryRun ? "would get" : "gets"} ${what}`);
      })
    );
}
