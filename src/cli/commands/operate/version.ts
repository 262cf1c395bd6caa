/**
 * `mpackd version`.
 *
 * @module
 */

import type { Command } from "commander";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { VERSION } from "../../version.ts";

/** Adds the command. */
export function addVersionCommand(program: Command, context: CommandContext): void {
  program.command("version")
    .summary("print the versions of mpackd and of Deno")
    .description("Print the versions of mpackd and of Deno, and the machine's kind.")
    .option("--json", "print them as one JSON document")
    .action((flags: { json?: boolean }) =>
      context.run(flags, async () => {
        const { deno } = Deno.version, { target } = Deno.build;
        if (flags.json) return await printJson({ mpackd: VERSION, deno, target });
        await print(`mpackd ${VERSION} (Deno ${deno}, ${target})`);
      })
    );
}
