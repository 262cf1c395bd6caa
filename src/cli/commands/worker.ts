/**
 * `mpackd worker`: claims jobs and runs them until it is stopped.
 *
 * @module
 */

import type { Command } from "commander";
import { type Config, SETTINGS } from "../../config/config.ts";
import { ConfigError } from "../../errors.ts";
import type { CommandContext } from "../command.ts";
import type { WorkFlags } from "../services/work.ts";

/** The settings that have an option. */
const OVERRIDES = ["concurrency", "perRepo", "pollMs", "drainMs", "httpPort", "httpHost"] as const;

type WorkerFlags = WorkFlags & { readonly [K in (typeof OVERRIDES)[number]]?: string };

/** Adds the command. */
export function addWorkerCommand(program: Command, context: CommandContext): void {
  program.command("worker")
    .summary("claim jobs and run them")
    .description(
      "Claim jobs and run them. Any number of workers may run, on any number of machines.\n\n" +
        "The first SIGTERM or SIGINT stops claiming. Running jobs may continue for --drain-ms and " +
        "are then released, without counting the attempt. A second signal releases them at once. " +
        "A third one ends the process, and their leases expire. Each option is also a setting.",
    )
    .option("--concurrency <jobs>", "jobs at the same time")
    .option("--per-repo <jobs>", "jobs of one repo at the same time, over all workers")
    .option("--poll-ms <ms>", "look at the queue this often if no notification arrives")
    .option(
      "--shards <names>",
      "work for these shards (catalog: the catalog itself), or all",
      "all",
    )
    .option("--drain", "end when no job is due, instead of waiting")
    .option("--drain-ms <ms>", "how long running jobs may continue after the first signal")
    .option("--http-port <port>", "serve /healthz, /readyz and /metrics on this port")
    .option("--http-host <address>", "the address of that port")
    .action((flags: WorkerFlags) => {
      const force = new AbortController();
      return context.run(
        {},
        async (signal) => {
          const config = withFlags(context.config(), flags);
          // Loaded here: "mpackd --help" loads this module, and needs none of a worker.
          const { work } = await import("../services/work.ts");
          await work(flags, config, signal, force.signal);
        },
        { isQuiet: true, onSecond: () => force.abort() },
      );
    });
}

function withFlags(config: Config, flags: WorkerFlags): Config {
  const given = OVERRIDES.flatMap((name) => {
    const text = flags[name];
    if (text === undefined) return [];
    const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    try {
      return [[name, SETTINGS[name].parse(text)] as const];
    } catch (error) {
      throw new ConfigError((error as Error).message.replace(SETTINGS[name].env, flag));
    }
  });
  return Object.freeze({ ...config, ...Object.fromEntries(given) });
}
