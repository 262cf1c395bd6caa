/**
 * `mpackd shard remove`: takes an empty shard out of the catalog, or removes what a move has left.
 *
 * @module
 */

import type { Command } from "commander";
import { remove, removeOld } from "../../../maintenance/shards/remove_shard.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { openCatalog } from "../../shard/open_move.ts";

/** Adds the command. */
export function addShardRemoveCommand(shard: Command, context: CommandContext): void {
  shard.command("remove")
    .description(
      "Take a drained shard without repos out of the catalog; its schema stays. With --old: remove " +
        "the schema that the shard's last move has left behind, with all its rows.",
    )
    .argument("<name>", "the shard")
    .option("--old", "remove the schema from which the shard has moved away")
    .option("--json", "print the result as one JSON document")
    .action((name: string, flags: { readonly old?: boolean; readonly json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openCatalog(context.config());
        if (flags.old) {
          const place = await removeOld({ ...opened, shard: name });
          if (flags.json) await printJson({ shard: name, removed: place });
          else await print(`Removed the schema ${place}`);
          return;
        }
        await remove(opened.catalog, name);
        if (flags.json) await printJson({ shard: name, removed: true });
        else await print(`Removed shard ${name} from the catalog; its schema stays`);
      })
    );
}
