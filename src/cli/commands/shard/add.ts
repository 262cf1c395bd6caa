/**
 * `mpackd shard add`.
 *
 * @module
 */

import type { Command } from "commander";
import { type AddedShard, addShard } from "../../../maintenance/shards/add_shard.ts";
import { counted } from "../../../lib/numbers.ts";
import { addSecrets, passwordsOf } from "../../../lib/redact.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { openBlobStore, openDatabase } from "../../resources.ts";

interface AddFlags {
  readonly store?: string;
  readonly replica?: string;
  readonly adopt?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the command to `shard`. */
export function addAddCommand(shard: Command, context: CommandContext): void {
  shard.command("add")
    .summary("make a schema a shard")
    .description(
      "Make a schema a shard, which then gets new repos. The schema and its tables are made if they " +
        "are missing, and the store is marked for it. May be repeated after an interruption.",
    )
    .argument("<name>", "its name from now on, in lower case")
    .argument(
      "[url]",
      "postgres://HOST/DATABASE?search_path=SCHEMA; user and password are by default those of " +
        "DATABASE_URL. Default: the schema of that name in the catalog's database",
    )
    .option("--store <url>", "a store of its own. Default: MPACK_STORE")
    .option("--replica <url>", "a standby of its server, for reads that allow it")
    .option("--adopt", "take repos that the schema has already into the catalog")
    .option("--dry-run", "only say what would be done")
    .option("--json", "print it as one JSON document")
    .action((name: string, url: string | undefined, flags: AddFlags) =>
      context.run(flags, async (signal) => {
        addSecrets([...passwordsOf(url), ...passwordsOf(flags.replica)]);
        const config = context.config(), isDryRun = flags.dryRun ?? false;
        const storeUrl = flags.store ?? config.storeUrl;
        const store = await openBlobStore({ ...config, storeUrl }, { isWriting: !isDryRun });
        await using opened = await openDatabase(config);
        const { shards } = opened;
        const added = await addShard({
          catalog: opened.db,
          catalogUrl: shards.urlOf(undefined),
          connect: shards.connect,
          config,
          store,
          shard: {
            name,
            url: url ?? `?search_path=${encodeURIComponent(name)}`,
            replicaUrl: flags.replica ?? null,
            storeUrl: flags.store ?? null,
          },
          isAdopting: flags.adopt ?? false,
          isDryRun,
          signal,
        });
        if (flags.json) return await printJson(jsonOf(added, isDryRun));
        await print(textOf(added, isDryRun));
      })
    );
}

function textOf(shard: AddedShard, isDryRun: boolean): string {
  const { name, database, schema, newSchema, migrations, adopted, added } = shard;
  const verb = isDryRun ? "Would add" : "Added";
  return [
    added ? `${verb} ${database}, schema ${schema}` : `${name} is there already: ${database}`,
    ...newSchema ? [`  ${isDryRun ? "would make" : "made"} the schema`] : [],
    ...migrations.length > 0
      ? [`  ${isDryRun ? "would apply" : "applied"} ${counted(migrations.length, "migration")}`]
      : [],
    ...adopted.map((repo) => `  ${isDryRun ? "would take" : "took"} ${repo} into the catalog`),
  ].join("\n");
}

function jsonOf(shard: AddedShard, isDryRun: boolean) {
  const { name, database, schema, newSchema, migrations, adopted, added } = shard;
  const result = { database, schema, new_schema: newSchema, migrations, adopted, added };
  return isDryRun ? { name, dry_run: true, ...result } : { name, ...result };
}
