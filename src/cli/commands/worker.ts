/**
 * `main.ts worker`: claims jobs and runs them until told to stop.
 *
 * @module
 */

import type { Command } from "commander";
import { createProbes } from "../../http/probes.ts";
import { type Config, SETTINGS } from "../../config/config.ts";
import { CancelledError, ConfigError } from "../../errors.ts";
import { openLog } from "../log.ts";
import type { CommandContext } from "../command.ts";
import { openWorker } from "../open_worker.ts";
import { openDatabase } from "../resources.ts";

/** A worker's pool has room for a heartbeat and a claim beside its jobs' statements. */
const SPARE_CONNECTIONS = 2;

/** Flags that override a setting. */
const OVERRIDES = ["concurrency", "perRepo", "pollMs", "drainMs", "httpPort", "httpHost"] as const;

type WorkerFlags = { readonly [K in (typeof OVERRIDES)[number]]?: string } & {
  readonly drain?: boolean;
};

/** Adds the command. */
export function addWorkerCommand(program: Command, context: CommandContext): void {
  program.command("worker")
    .summary("claim jobs and run them")
    .description(
      "Claim jobs and run them, on as many machines as you like.\n\n" +
        "The first SIGTERM or SIGINT ends the claiming; running jobs may go on for --drain-ms and\n" +
        "are then given back, uncounted. A second one gives them back at once; a third one ends\n" +
        "the process, and their leases lapse. Each option is also a setting (see config).",
    )
    .option("--concurrency <jobs>", "jobs at once")
    .option("--per-repo <jobs>", "jobs of one repo at once, over all workers")
    .option("--poll-ms <ms>", "look at the queue at least so often when nobody calls")
    .option("--drain", "end when no job is due, instead of waiting for more")
    .option("--drain-ms <ms>", "how long running jobs may go on when asked to stop")
    .option("--http-port <port>", "answer /healthz, /readyz and /metrics there")
    .option("--http-host <address>", "the address to answer on")
    .action((flags: WorkerFlags) => {
      const force = new AbortController();
      return context.run(
        {},
        (signal) => runWorker(flags, withFlags(context.config(), flags), signal, force.signal),
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

async function runWorker(
  flags: WorkerFlags,
  config: Config,
  signal: AbortSignal,
  force: AbortSignal,
): Promise<void> {
  const { concurrency } = config;
  openLog({ level: config.logLevel });
  const maxConnections = Math.max(config.databaseConnections, concurrency + SPARE_CONNECTIONS);
  await using opened = await openDatabase(config, { maxConnections });
  await using working = await openWorker(opened, config, {
    signal,
    force,
    untilEmpty: flags.drain,
  });
  const { worker, metrics, checks } = working;
  await using _http = config.httpPort === 0 ? undefined : serveHealth(config, {
    checks,
    metrics: metrics.registry,
  });
  await worker.run();
  if (force.aborted) throw new CancelledError("Interrupted twice: running jobs were given back");
}

function serveHealth(
  { httpPort: port, httpHost: hostname }: Config,
  parts: Parameters<typeof createProbes>[0],
): Deno.HttpServer {
  const routes = createProbes(parts);
  try {
    return Deno.serve(
      { port, hostname, onListen: () => {} },
      async (request) => await routes(request) ?? new Response("Not found\n", { status: 404 }),
    );
  } catch (error) {
    throw new ConfigError(
      `Cannot listen on ${hostname}:${port}: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
