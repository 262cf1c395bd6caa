/**
 * `mpackd shard …`: schemas in which repos live, here or on other servers.
 *
 * @module
 */

import type { Command } from "commander";
import type { CommandContext } from "../../command.ts";
import { addAddCommand } from "./add.ts";
import { addShardDrainCommand } from "./drain.ts";
import { addEditCommand } from "./edit.ts";
import { addListCommand } from "./list.ts";
import { addShardMoveCommand } from "./move.ts";
import { addShardRemoveCommand } from "./remove.ts";

/** Adds the commands. */
export function addShardCommand(program: Command, context: CommandContext): void {
  const shard = program.command("shard")
    .summary("put repos into several schemas, here or on other servers")
    .description(
      "A shard is a schema with mpackd's tables in which repos live. The database of DATABASE_URL is " +
        "the catalog: it knows all repos, and in which shard each one is.",
    );
  addAddCommand(shard, context);
  addEditCommand(shard, context);
  addListCommand(shard, context);
  addShardMoveCommand(shard, context);
  addShardDrainCommand(shard, context);
  addShardRemoveCommand(shard, context);
}
