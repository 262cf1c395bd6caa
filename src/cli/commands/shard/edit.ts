/**
 * `mpackd shard edit`: names the standby of a shard.
 *
 * @module
 */

import type { Command } from "commander";
import { setReplica } from "../../../db/shards/catalog.ts";
import { ConfigError } from "../../../errors.ts";
import { addSecrets, passwordsOf } from "../../../lib/redact.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { openDatabase } from "../../resources.ts";

interface EditFlags {
  /** False: `--no-replica`. */
  readonly replica?: string | false;
  readonly json?: boolean;
}

/** Adds the command to `shard`. */
export function addEditCommand(shard: Command, context: CommandContext): void {
  shard.command("edit")
    .description("Name a standby of a shard's server, for reads that allow it, or take it back.")
    .argument("<name>", "the shard")
    .option("--replica <url>", "the standby; what its URL lacks is that of the shard's")
    .option("--no-replica", "use no standby")
    .option("--json", "print the result as one JSON document")
    .action((name: string, { replica, json }: EditFlags) =>
      context.run({ json }, async () => {
        if (typeof replica !== "string" && replica !== false) {
          throw new ConfigError("Cannot edit the shard: give --replica URL or --no-replica");
        }
        const url = replica || null;
        if (url !== null) addSecrets(passwordsOf(url));
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        // Connects to nothing: only the URL is looked at.
        if (url !== null) opened.shards.standby(url, undefined);
        if (!await setReplica(opened.db, name, url)) {
          throw new ConfigError(`Cannot find shard ${name}: "mpackd shard list" shows all`);
        }
        if (json) await printJson({ shard: name, has_replica: url !== null });
        else await print(`Shard ${name} has ${url === null ? "no standby" : "a standby"} now`);
      })
    );
}
