/**
 * `main.ts guard FILE|- --repo OWNER/SLUG`: what a push would lack.
 *
 * @module
 */

import type { Command } from "commander";
import { limitsOf } from "../../config/config.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { guardMpack, type GuardResult } from "../../objects/guard_mpack.ts";
import { describe } from "../../jobs/attempt/run_attempt.ts";
import { EXIT, exitCodeOf } from "../exit.ts";
import { openInput } from "../lines.ts";
import type { CommandContext } from "../command.ts";
import { formatCount } from "../terminal.ts";
import { openDatabase } from "../resources.ts";

interface GuardFlags {
  readonly repo: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addGuardCommand(program: Command, context: CommandContext): void {
  program.command("guard")
    .summary("list the ids that a pack names and nobody has brought")
    .description(
      "List the object ids that the pack's snapshots name and that are neither in the pack nor in\n" +
        "the repo, one a line, sorted. Nothing is kept. Exit code 3 if there are any.",
    )
    .argument("<file>", "an mpack; - reads it from stdin")
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
  const pack = await openInput(file);
  await using opened = await openDatabase(config, { maxConnections: 1 });
  const { db } = opened;
  const { repoId } = await resolveRepo(db, parseRepoName(flags.repo), { create: false });
  const list = flags.json ? jsonList() : undefined;
  try {
    const result = await guardMpack({
      db,
      repoId,
      mpack: pack,
      limits: limitsOf(config),
      signal,
      onMissing: list?.add ?? ((page) => console.log(page.join("\n"))),
    });
    if (list) list.end(result);
    else console.error(summary(result, flags.repo));
    return result.missing > 0 ? EXIT.rejected : EXIT.ok;
  } catch (error) {
    if (!list?.isBegun) throw error;
    list.end({ error: describe(error as Error) });
    return exitCodeOf(error);
  }
}

/** One JSON document printed as its ids come: there may be more than fit into memory. */
function jsonList() {
  let between = '{"missing_ids":[';
  return {
    get isBegun() {
      return between === ",";
    },
    add(ids: readonly string[]) {
      console.log(between + JSON.stringify(ids).slice(1, -1));
      between = ",";
    },
    end(rest: object) {
      console.log(`${this.isBegun ? "" : between}],${JSON.stringify(rest).slice(1)}`);
    },
  };
}

function summary({ manifest_entries, objects, missing }: GuardResult, repo: string): string {
  const verdict = missing === 0 ? "Nothing is missing" : `${formatCount(missing)} ids are missing`;
  return `${verdict} in ${repo}: ${formatCount(manifest_entries)} manifest entries, ` +
    `${formatCount(objects)} objects in the pack`;
}
