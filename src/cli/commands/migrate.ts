/**
 * `mpackd migrate`: creates the tables, or adds what is missing.
 *
 * @module
 */

import type { Command } from "commander";
import { migrate, pendingMigrations } from "../../db/schema/migrate.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson } from "../output.ts";
import { openDatabase } from "../resources.ts";

/** Adds the command. */
export function addMigrateCommand(program: Command, context: CommandContext): void {
  program.command("migrate")
    .summary("create or complete the tables")
    .description(
      "Create the tables, or add what is missing to existing tables. If an existing table cannot " +
        "be used, names it and changes nothing. Safe to run at any time.",
    )
    .option("--dry-run", "only name what would be applied")
    .option("--json", "print the applied migrations as one JSON document")
    .action((flags: { dryRun?: boolean; json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { isMigrating: true });
        if (flags.dryRun) {
          const pending = await pendingMigrations(opened.db);
          if (flags.json) return await printJson({ would_apply: pending });
          if (pending.length === 0) await print("The tables are up to date");
          for (const name of pending) await print(`Would apply ${name}`);
          return;
        }
        const { applied } = await migrate(opened.db);
        if (flags.json) return await printJson({ applied });
        if (applied.length === 0) await print("The tables are up to date");
        for (const name of applied) await print(`Applied ${name}`);
      })
    );
}
