/**
 * `mpackd shard remove`: takes an empty shard out of the catalog, or removes what a move has left.
 *
 * @module
 */

import type { Command } from "commander";
import { remove, removeOld } from "../../../maintenance/shards/remove_shard.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { openCatalog } from "../../shards/open_move.ts";

interface RemoveFlags {
  readonly old?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addShardRemoveCommand(shard: Command, context: CommandContext): void {
  shard.command("remove")
    .description(
      "Take a drained shard without repos out of the catalog; its schema stays. With --old: remove " +
        "the schema that the shard's last move has left behind, with all its rows.",
    )
    .argument("<name>", "the shard")
    .option("--old", "remove the schema from which the shard has moved away")
    .option("--dry-run", "only say what would be removed")
    .option("--json", "print the result as one JSON document")
    .action((name: string, flags: RemoveFlags) =>
      context.run(flags, async () => {
        const { dryRun: isDryRun = false } = flags, verb = isDryRun ? "Would remove" : "Removed";
        await using opened = await openCatalog(context.config());
        if (flags.old) {
          const place = await removeOld({ ...opened, shard: name, isDryRun });
          if (flags.json) await printJson({ shard: name, dry_run: isDryRun, removed: place });
          else await print(`${verb} the schema ${place}`);
          return;
        }
        await remove(opened.catalog, name, { isDryRun });
        if (flags.json) await printJson({ shard: name, dry_run: isDryRun, removed: true });
        else await print(`${verb} shard ${name} from the catalog; its schema stays`);
      })
    );
}
