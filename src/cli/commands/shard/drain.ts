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

/** Adds the command. */
export function addShardDrainCommand(shard: Command, context: CommandContext): void {
  shard.command("drain")
    .description("Let a shard get no new repos; those that are there stay, and are used.")
    .argument("<name>", "the shard")
    .option("--undo", "let it get new repos again")
    .option("--json", "print the result as one JSON document")
    .action((name: string, flags: { readonly undo?: boolean; readonly json?: boolean }) =>
      context.run(flags, async () => {
        const isUndone = flags.undo ?? false;
        await using opened = await openCatalog(context.config());
        await drain(opened.catalog, name, { isUndone });
        if (flags.json) await printJson({ shard: name, state: isUndone ? "open" : "drained" });
        else await print(`Shard ${name} gets ${isUndone ? "new repos again" : "no new repos"}`);
      })
    );
}
