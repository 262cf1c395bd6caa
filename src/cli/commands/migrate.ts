/**
 * `main.ts migrate`: creates the tables, or adds what is missing.
 *
 * @module
 */

import type { Command } from "commander";
import { migrate } from "../../db/schema/migrate.ts";
import type { CommandContext } from "../command.ts";
import { openDatabase } from "../resources.ts";

/** Adds the command. */
export function addMigrateCommand(program: Command, context: CommandContext): void {
  program.command("migrate")
    .summary("create or complete the tables")
    .description(
      "Create the tables, or add what is missing to tables that are already there. Changes\n" +
        "nothing if one of them cannot be used, and says which. Safe to run at any time.",
    )
    .option("--json", "print what was applied as one JSON document")
    .action((flags: { json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { isMigrating: true });
        const { applied } = await migrate(opened.db);
        if (flags.json) console.log(JSON.stringify({ applied }));
        else if (applied.length === 0) console.log("The tables are up to date");
        else for (const name of applied) console.log(`Applied ${name}`);
      })
    );
}
