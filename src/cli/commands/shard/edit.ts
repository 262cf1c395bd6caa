/**
 * `mpackd shard edit`: names the standby of a shard.
 *
 * @module
 */

import type { Command } from "commander";
import { findShard, setReplica } from "../../../db/shards/catalog.ts";
import { ConfigError } from "../../../errors.ts";
import { addSecrets, passwordsOf } from "../../../lib/redact.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { openDatabase } from "../../resources.ts";

interface EditFlags {
  /** False: `--no-replica`. */
  readonly replica?: string | false;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the command to `shard`. */
export function addEditCommand(shard: Command, context: CommandContext): void {
  shard.command("edit")
    .description("Name a standby of a shard's server, for reads that allow it, or take it back.")
    .argument("<name>", "the shard")
    .option("--replica <url>", "the standby; what its URL lacks is that of the shard's")
    .option("--no-replica", "use no standby")
    .option("--dry-run", "only say what would be changed")
    .option("--json", "print the result as one JSON document")
    .action((name: string, { replica, dryRun: isDryRun = false, json }: EditFlags) =>
      context.run({ json }, async () => {
        if (typeof replica !== "string" && replica !== false) {
          throw new ConfigError("Cannot edit the shard: give --replica URL or --no-replica");
        }
        const url = replica || null;
        if (url !== null) addSecrets(passwordsOf(url));
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        // Connects to nothing: only the URL is looked at.
        if (url !== null) opened.shards.standby(url, undefined);
        const isThere = isDryRun
          ? await findShard(opened.db, name) !== undefined
          : await setReplica(opened.db, name, url);
        if (!isThere) {
          throw new ConfigError(`Cannot find shard ${name}: "mpackd shard list" shows all`);
        }
        const what = url === null ? "no standby" : "a standby";
        if (json) await printJson({ shard: name, dry_run: isDryRun, has_replica: url !== null });
        else if (isDryRun) await print(`Shard ${name} would have ${what}`);
        else await print(`Shard ${name} has ${what} now`);
      })
    );
}
