/**
 * The command line: finds the command, runs it, and turns its end into an exit code.
 *
 * @module
 */

import { Command, CommanderError } from "commander";
import { configFromEnv } from "../config/config_from_env.ts";
import { CancelledError, ConfigError, MpackdError } from "../errors.ts";
import type { CommandContext, InterruptOptions } from "./command.ts";
import { EXAMPLES } from "./examples.ts";
import { EXIT, EXIT_HELP, exitCodeOf, printError, typedError } from "./exit.ts";
import { mostSimilar } from "../lib/similar.ts";
import { print, tell } from "./output.ts";
import { requirePermissions, sourcePermissions } from "./permissions.ts";
import { VERSION } from "./version.ts";

/**
 * The commands, in the order of `--help`. A run loads only the module of its command: loading all of
 * them takes three times as long as loading `index`.
 */
const COMMANDS: Record<string, () => Promise<AddCommand>> = {
  index: async () => (await import("./commands/index.ts")).addIndexCommand,
  inspect: async () => (await import("./commands/inspect.ts")).addInspectCommand,
  enqueue: async () => (await import("./commands/enqueue.ts")).addEnqueueCommand,
  worker: async () => (await import("./commands/worker.ts")).addWorkerCommand,
  jobs: async () => (await import("./commands/jobs.ts")).addJobsCommand,
  ls: async () => (await import("./commands/lists/ls.ts")).addLsCommand,
  packs: async () => (await import("./commands/lists/packs.ts")).addPacksCommand,
  cat: async () => (await import("./commands/cat.ts")).addCatCommand,
  export: async () => (await import("./commands/export.ts")).addExportCommand,
  refs: async () => (await import("./commands/history/refs.ts")).addRefsCommand,
  log: async () => (await import("./commands/history/log.ts")).addLogCommand,
  show: async () => (await import("./commands/history/show.ts")).addShowCommand,
  "ls-tree": async () => (await import("./commands/history/ls_tree.ts")).addLsTreeCommand,
  bundle: async () => (await import("./commands/history/bundle.ts")).addBundleCommand,
  check: async () => (await import("./commands/check.ts")).addCheckCommand,
  audit: async () => (await import("./commands/audit.ts")).addAuditCommand,
  gc: async () => (await import("./commands/gc.ts")).addGcCommand,
  schedule: async () => (await import("./commands/operate/schedule.ts")).addScheduleCommand,
  repack: async () => (await import("./commands/operate/repack.ts")).addRepackCommand,
  store: async () => (await import("./commands/store.ts")).addStoreCommand,
  serve: async () => (await import("./commands/serve.ts")).addServeCommand,
  login: async () => (await import("./commands/remote/login.ts")).addLoginCommand,
  logout: async () => (await import("./commands/remote/login.ts")).addLogoutCommand,
  remote: async () => (await import("./commands/remote/remote.ts")).addRemoteCommand,
  clone: async () => (await import("./commands/remote/clone.ts")).addCloneCommand,
  fetch: async () => (await import("./commands/remote/fetch.ts")).addFetchCommand,
  push: async () => (await import("./commands/remote/push.ts")).addPushCommand,
  identity: async () => (await import("./commands/identity.ts")).addIdentityCommand,
  token: async () => (await import("./commands/token.ts")).addTokenCommand,
  repo: async () => (await import("./commands/repo.ts")).addRepoCommand,
  webhook: async () => (await import("./commands/operate/webhook.ts")).addWebhookCommand,
  status: async () => (await import("./commands/operate/status.ts")).addStatusCommand,
  quota: async () => (await import("./commands/operate/quota.ts")).addQuotaCommand,
  shard: async () => (await import("./commands/shard/mod.ts")).addShardCommand,
  doctor: async () => (await import("./commands/operate/doctor.ts")).addDoctorCommand,
  stats: async () => (await import("./commands/stats.ts")).addStatsCommand,
  migrate: async () => (await import("./commands/migrate.ts")).addMigrateCommand,
  config: async () => (await import("./commands/config.ts")).addConfigCommand,
  completion: async () => (await import("./commands/operate/completion.ts")).addCompletionCommand,
  version: async () => (await import("./commands/operate/version.ts")).addVersionCommand,
};

/** The commands as `--help` groups them. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  "Mpacks:": ["index", "inspect", "check", "enqueue"],
  "Repos and their history:": [
    ...["repo", "ls", "packs", "cat", "export", "refs", "log", "show", "ls-tree", "bundle"],
  ],
  "Other machines:": ["login", "logout", "remote", "push", "clone", "fetch"],
  "Services:": ["migrate", "worker", "serve", "identity", "token", "quota", "webhook"],
  "Operation:": [
    ...["status", "jobs", "schedule", "doctor", "stats", "audit", "gc", "repack", "store", "shard"],
  ],
  "Itself:": ["config", "completion", "version"],
};

/** Other names of commands, by which module has them. */
const OTHER_NAMES: Readonly<Record<string, string>> = { guard: "check", verify: "audit" };

type AddCommand = (program: Command, context: CommandContext) => void;

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
        const error = typedError(thrown);
        await printError(error, { json: flags.json ?? false });
        exitCode = exitCodeOf(error);
      }
    },
  };
  const isJson = args.includes("--json");
  try {
    requirePermissions(sourcePermissions());
    const program = await createProgram(context, namesOf(args));
    return await parse(program, args, { isJson }) ?? exitCode;
  } catch (error) {
    await printError(error, { json: isJson });
    return exitCodeOf(error);
  }
}

/**
 * Makes the command line of these commands; by default, of all.
 *
 * @internal Exported for tests.
 */
export async function createProgram(
  context: CommandContext,
  names: readonly string[] = Object.keys(COMMANDS),
): Promise<Command> {
  const program = new Command("mpackd")
    .description(
      "A streaming indexer for mpacks: reads each once, proves its digest, publishes it.",
    )
    .version(VERSION)
    .addHelpText("after", EXIT_HELP)
    .showHelpAfterError("(--help shows what is accepted)");
  const grouped = new Set(Object.values(GROUPS).flat());
  const others = Object.keys(COMMANDS).filter((name) => !grouped.has(name));
  for (const [group, members] of [...Object.entries(GROUPS), ["Others:", others] as const]) {
    if (members.length > 0) program.commandsGroup(group);
    for (const name of members) {
      if (names.includes(name)) (await COMMANDS[name]())(program, context);
    }
  }
  for (const command of withSubcommands(program)) {
    const example = EXAMPLES[pathOf(command)];
    if (example === undefined) continue;
    command.addHelpText(
      "after",
      `\nExample: mpackd ${example}\n"mpackd --help" has the exit codes.`,
    );
  }
  return program;
}

/** The names of a command and of those above it, without the program's. */
function pathOf(command: Command): string {
  const { parent } = command;
  return parent === null ? "" : `${pathOf(parent)} ${command.name()}`.trim();
}

/** The commands to load. `completion` completes all of them. */
function namesOf(args: readonly string[]): readonly string[] {
  const all = Object.keys(COMMANDS), [given = ""] = args;
  if (given === "completion") return all;
  const name = Object.hasOwn(OTHER_NAMES, given) ? OTHER_NAMES[given] : given;
  return Object.hasOwn(COMMANDS, name) ? [name] : all;
}

/**
 * Parses the arguments and runs the command, or prints the help.
 *
 * @returns The exit code, unless the command ran.
 */
async function parse(
  program: Command,
  args: readonly string[],
  { isJson }: { readonly isJson: boolean },
): Promise<number | undefined> {
  let help = "", usage = "", failing = program;
  for (const command of withSubcommands(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => help += text,
      writeErr(text) {
        failing = command;
        usage += text;
      },
    });
  }
  try {
    await program.parseAsync([...args], { from: "user" });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) {
      await print(help.trimEnd());
      return EXIT.ok;
    }
    const misspelt = error.code === MISSING_OPTION ? misspeltOption(failing, args) : undefined;
    const message = misspelt ?? error.message.replace(/^error: /, "");
    if (isJson) await printError(new ConfigError(message), { json: true });
    else tell(misspelt === undefined ? usage.trimEnd() : `error: ${misspelt}`);
    return EXIT.usage;
  }
}

const MISSING_OPTION = "commander.missingMandatoryOptionValue";

/** What is wrong where an option is missing because it was misspelt: Commander looks for that last. */
function misspeltOption(command: Command, args: readonly string[]): string | undefined {
  const known = command.options.flatMap(({ long, short }) => [long, short]).filter((name) =>
    name !== undefined
  );
  const given = args.map((arg) => arg.split("=")[0]).find((arg) =>
    /^--[a-z]/.test(arg) && arg !== "--help" && !known.includes(arg)
  );
  if (given === undefined) return undefined;
  const meant = mostSimilar(given, known);
  return `unknown option '${given}'\n` +
    (meant === undefined ? "(--help shows what is accepted)" : `(Did you mean ${meant}?)`);
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** The first SIGINT or SIGTERM fires the signal. The second one ends the process at once. */
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
    if (!isQuiet) tell("Interrupted: stopping cleanly (once more to stop at once)");
    stop.abort(new DOMException("Interrupted", "AbortError"));
  };
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  try {
    return await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted || error instanceof MpackdError) throw error;
    throw new CancelledError("Interrupted", { cause: error });
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
  }
}
