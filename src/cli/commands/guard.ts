/**
 * `mpackd guard FILE|- --repo OWNER/SLUG`: lists the objects that a push would lack.
 *
 * @module
 */

import type { Command } from "commander";
import { limitsOf } from "../../config/config.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { guardMpack, type GuardResult } from "../../objects/guard_mpack.ts";
import { describe } from "../../jobs/attempt/run_attempt.ts";
import { EXIT, exitCodeOf } from "../exit.ts";
import type { CommandContext } from "../command.ts";
import { openInput } from "../input.ts";
import { print, tell } from "../output.ts";
import { formatCount } from "../terminal.ts";
import { openDatabase } from "../resources.ts";

interface GuardFlags {
  readonly repo: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addGuardCommand(program: Command, context: CommandContext): void {
  program.command("guard")
    .summary("list the objects that an mpack names and nobody has pushed")
    .description(
      "List the object ids that the mpack's snapshots name and that are neither in the mpack nor " +
        "in the repo, one per line, sorted. Changes nothing. Exit code 3 if there are any.",
    )
    .argument("<file>", "an mpack, or - for stdin")
    .requiredOption("--repo <owner/slug>", "the repo that it would be pushed to")
    .option("--json", "print counts and ids as one JSON document")
    .action((file: string, flags: GuardFlags) =>
      context.run(flags, (signal) => runGuard(file, flags, context, signal))
    );
}

async function runGuard(
  file: string,
  flags: GuardFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<number> {
  const config = context.config();
  const { readable: mpack } = await openInput(file);
  await using opened = await openDatabase(config, { maxConnections: 1 });
  const { db } = opened;
  const { repoId } = await resolveRepo(db, parseRepoName(flags.repo), { create: false });
  const list = flags.json ? jsonList() : undefined;
  try {
    const result = await guardMpack({
      db,
      repoId,
      mpack,
      limits: limitsOf(config),
      signal,
      onMissing: list?.add ?? ((page) => print(page.join("\n"))),
    });
    if (list) await list.end(result);
    else tell(summary(result, flags.repo));
    return result.missing > 0 ? EXIT.rejected : EXIT.ok;
  } catch (error) {
    if (!list?.isBegun) throw error;
    await list.end({ error: describe(error as Error) });
    return exitCodeOf(error);
  }
}

/** One JSON document that is printed while its ids arrive: they may not fit into memory. */
function jsonList() {
  let between = '{"missing_ids":[';
  return {
    get isBegun() {
      return between === ",";
    },
    async add(ids: readonly string[]) {
      await print(between + JSON.stringify(ids).slice(1, -1));
      between = ",";
    },
    async end(rest: object) {
      await print(`${this.isBegun ? "" : between}],${JSON.stringify(rest).slice(1)}`);
    },
  };
}

function summary({ manifest_entries, objects, missing }: GuardResult, repo: string): string {
  const verdict = missing === 0 ? "Nothing is missing" : `${formatCount(missing)} ids are missing`;
  return `${verdict} in ${repo}: ${formatCount(manifest_entries)} manifest entries, ` +
    `${formatCount(objects)} objects in the mpack`;
}
