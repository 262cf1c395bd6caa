/**
 * The command line as a whole: the commands, what they share, and how each one ends.
 *
 * @module
 */

import { Command, CommanderError } from "commander";
import type { Config } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { addCatCommand } from "./cat_command.ts";
import { addAuditCommand } from "./audit_command.ts";
import { addConfigCommand } from "./config_command.ts";
import { addEnqueueCommand } from "./enqueue_command.ts";
import { addGcCommand } from "./gc_command.ts";
import { addIndexCommand } from "./index_command.ts";
import { addInspectCommand } from "./inspect_command.ts";
import { addJobsCommand } from "./jobs_command.ts";
import { addIdentityCommand } from "./identity_command.ts";
import { addPushCommand } from "./push_command.ts";
import { addServeCommand } from "./serve_command.ts";
import { addTokenCommand } from "./token_command.ts";
import { addMigrateCommand } from "./migrate_command.ts";
import { addWorkerCommand } from "./worker_command.ts";
import { addExportCommand } from "./export_command.ts";
import { addGuardCommand } from "./guard_command.ts";
import { EXIT, EXIT_HELP, exitCodeOf, printError } from "./exit.ts";
import { addRepoCommand } from "./repo_command.ts";
import { addStatsCommand } from "./stats_command.ts";
import { asConfigError } from "./permissions.ts";
import { configFromEnv } from "./world.ts";

/** The version printed and logged. */
export const VERSION = "0.1.0";

/** What commands are given. */
export interface CommandContext {
  /** The settings, read when first asked for. */
  config(): Config;
  /**
   * Runs a command's work under a signal that Ctrl-C fires, and notes how it ended: with the exit
   * code it answers, else 0, or as its error says.
   */
  run(
    flags: { json?: boolean },
    work: (signal: AbortSignal) => Promise<number | void>,
    options?: InterruptOptions,
  ): Promise<void>;
}

/** How a command takes signals other than most do. */
export interface InterruptOptions {
  /** Called at the second signal instead of ending the process; the third one does. */
  readonly onSecond?: () => void;
  /** Say nothing about signals. */
  readonly isQuiet?: boolean;
}

/**
 * Runs the command line.
 *
 * @returns The exit code.
 */
export async function runProgram(args: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const context: CommandContext = {
    config: configFromEnv,
    async run(flags, work, options) {
      try {
        exitCode = await withInterrupts(work, options) ?? EXIT.ok;
      } catch (thrown) {
        const error = asConfigError(thrown);
        printError(error, { json: flags.json ?? false });
        exitCode = exitCodeOf(error);
      }
    },
  };
  const program = new Command("mpackd")
    .description("A streaming indexer for mpacks: streamed once, proved, published.")
    .version(VERSION)
    .addHelpText("after", EXIT_HELP)
    .showHelpAfterError("(--help shows what is accepted)");
  addIndexCommand(program, context);
  addInspectCommand(program, context);
  addEnqueueCommand(program, context);
  addWorkerCommand(program, context);
  addJobsCommand(program, context);
  addCatCommand(program, context);
  addExportCommand(program, context);
  addGuardCommand(program, context);
  addAuditCommand(program, context);
  addGcCommand(program, context);
  addServeCommand(program, context);
  addPushCommand(program, context);
  addIdentityCommand(program, context);
  addTokenCommand(program, context);
  addRepoCommand(program, context);
  addStatsCommand(program, context);
  addMigrateCommand(program, context);
  addConfigCommand(program, context);
  for (const command of withSubcommands(program)) {
    command.exitOverride();
    if (args.includes("--json")) command.configureOutput({ writeErr: () => {} });
  }
  try {
    await program.parseAsync([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.ok;
    // Commander has said it on stderr already, for people.
    if (args.includes("--json")) {
      printError(new ConfigError(error.message.replace(/^error: /, "")), { json: true });
    }
    return EXIT.usage;
  }
  return exitCode;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** The first SIGINT or SIGTERM fires the signal; a second one ends the process at once. */
async function withInterrupts<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { onSecond, isQuiet = false }: InterruptOptions = {},
): Promise<T> {
  const stop = new AbortController();
  let signals = 0;
  const onSignal = () => {
    signals++;
    if (signals > (onSecond ? 2 : 1)) Deno.exit(EXIT.interrupted);
    if (signals === 2) return onSecond?.();
    if (!isQuiet) console.error("Interrupted: stopping cleanly (once more to stop at once)");
    stop.abort(new DOMException("Interrupted", "AbortError"));
  };
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  try {
    return await work(stop.signal);
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
  }
}
