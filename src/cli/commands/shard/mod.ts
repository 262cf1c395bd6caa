/**
 * `mpackd shard`: the schemas and servers in which repos live.
 *
 * @module
 */

import type { Command } from "commander";
import type { CommandContext } from "../../command.ts";
import { addShardDrainCommand } from "./drain.ts";
import { addShardMoveCommand } from "./move.ts";
import { addShardRemoveCommand } from "./remove.ts";

/** Adds the commands. */
export function addShardCommand(program: Command, context: CommandContext): void {
  const shard = program.command("shard")
    .summary("spread repos over several schemas and servers")
    .description("Spread repos over several schemas and servers: docs/scale.md.");
  addShardMoveCommand(shard, context);
  addShardDrainCommand(shard, context);
  addShardRemoveCommand(shard, context);
}
