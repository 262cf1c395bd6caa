/**
 * `mpackd fetch REMOTE --to FILE`: the history of a server's repo, as a pack.
 *
 * @module
 */

import type { Command } from "commander";
import { ConfigError } from "../../../errors.ts";
import { requestHistory, requestRefs } from "../../clone/request.ts";
import type { CommandContext } from "../../command.ts";
import { writeWhole } from "../../history/write_whole.ts";
import { printJson, tell } from "../../output.ts";
import { type AccountFlags, openAccount, withAccountOptions } from "../../remotes/account.ts";
import { remoteRepo } from "../../remotes/repo_url.ts";
import { counted, formatBytes, LiveLine } from "../../terminal.ts";

interface FetchFlags extends AccountFlags {
  readonly to: string;
  readonly branch?: readonly string[];
  readonly have?: readonly string[];
  readonly json?: boolean;
}

/** Adds the command. */
export function addFetchCommand(program: Command, context: CommandContext): void {
  const command = program.command("fetch")
    .summary("get the history of a server's repo as a pack")
    .description(
      "Get branches of a server's repo, with all that is reachable from them, as one pack. " +
        '"mpackd index FILE --branches" takes it in.',
    )
    .argument("<remote>", "the repo's URL, or the name of a saved remote")
    .requiredOption("--to <file>", "where to write; - is stdout")
    .option("--branch <names...>", "only these branches")
    .option("--have <ids...>", "leave out what is reachable from these commits");
  withAccountOptions(command)
    .option("--json", "print what was fetched, or the error, as one JSON document")
    .action((remote: string, flags: FetchFlags) =>
      context.run(flags, (signal) => runFetch(remote, flags, context, signal))
    );
}

async function runFetch(
  remote: string,
  flags: FetchFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  if (flags.to === "-" && flags.json) {
    throw new ConfigError("Cannot use --json with --to -: both would write to stdout");
  }
  const config = context.config(), { url } = await remoteRepo(remote, undefined, config);
  const source = { url, signal, ...await openAccount(url, flags, config) };
  const { heads } = await requestRefs(source), names = flags.branch ?? [...heads.keys()];
  const want = names.map((name) => {
    const head = heads.get(name);
    if (head !== undefined) return head;
    throw new ConfigError(`Cannot fetch branch ${JSON.stringify(name)}: the repo has none`);
  });
  if (want.length === 0) throw new ConfigError(`Cannot fetch from ${url}: it has no branches`);
  const line = new LiveLine();
  try {
    const chunks = await requestHistory(source, [...new Set(want)], flags.have);
    const sizeBytes = await writeWhole(flags.to, chunks, {
      signal,
      onChunk: (bytes) => line.show({ label: "fetch", bytes, sizeBytes: 0 }),
    });
    line.clear();
    const branches = Object.fromEntries(names.map((name, i) => [name, want[i]]));
    if (flags.json) return await printJson({ branches, size_bytes: sizeBytes });
    tell(
      `Fetched ${counted(names.length, "branch", "branches")}, ${
        formatBytes(sizeBytes)
      }, to ${flags.to}`,
    );
  } finally {
    line.clear();
  }
}
