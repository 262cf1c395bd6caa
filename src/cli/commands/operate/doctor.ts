/**
 * `mpackd doctor`: looks at everything that mpackd relies on.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../../config/config.ts";
import { type Check, type CheckStatus, failure, ok } from "../../../maintenance/doctor/check.ts";
import { checkFunctions, checkTriggers } from "../../../maintenance/doctor/check_triggers.ts";
import { examine } from "../../../maintenance/doctor/doctor.ts";
import type { Database } from "../../../db/client/database.ts";
import { openMoves } from "../../../db/shards/move_rows.ts";
import { pendingMigrations } from "../../../db/schema/migrate.ts";
import { askShards } from "../../../db/shards/ask_shards.ts";
import type { CommandContext } from "../../command.ts";
import { EXIT } from "../../exit.ts";
import { print, printJson } from "../../output.ts";
import { openBlobStore, openDatabase, type OpenedDatabase } from "../../resources.ts";
import { counted } from "../../terminal.ts";

interface DoctorFlags {
  readonly writes: boolean;
  readonly json?: boolean;
}

/** `serve` keeps at least these for reads, and a worker these beside one for each job. */
const READ_CONNECTIONS = 8, SPARE_CONNECTIONS = 3;
const WORDS: Record<CheckStatus, string> = { ok: "ok", warning: "warning", failure: "FAILURE" };

/** Adds the command. */
export function addDoctorCommand(program: Command, context: CommandContext): void {
  program.command("doctor")
    .summary("check database, store and machine")
    .description(
      "Check all that mpackd relies on: versions, settings, rights, clocks, connections, dead rows " +
        "and bloat, the store's owner and each kind of request to it, free disk. The store is tried " +
        "with blobs under mpackd-doctor/, which are removed.",
    )
    .option("--no-writes", "write nothing to the store")
    .option("--json", "print the checks as one JSON document")
    .addHelpText("after", "\nExit codes: 0 if no check failed, 2 if one did. Warnings are 0.")
    .action((flags: DoctorFlags) =>
      context.run(flags, async (signal) => {
        const checks: Check[] = [];
        let opened: OpenedDatabase | undefined;
        const config = context.config();
        try {
          const examination = examine({
            openDatabase: async () => {
              opened = await openDatabase(config, { isMigrating: true, maxConnections: 1 });
              return opened.db;
            },
            openStore: () => openBlobStore(config, { isWriting: flags.writes }),
            databaseFolder: config.databaseUrl === undefined ? config.home : undefined,
            connections: connectionsOf(config),
            isWriting: flags.writes,
            signal,
          });
          for await (const check of examination) {
            checks.push(check);
            if (!flags.json) await print(lineOf(check));
          }
          for (const check of opened === undefined ? [] : await checkShards(opened)) {
            checks.push(check);
            if (!flags.json) await print(lineOf(check));
          }
        } finally {
          await opened?.[Symbol.asyncDispose]();
        }
        const count = (status: CheckStatus) =>
          checks.filter((check) => check.status === status).length;
        const warnings = count("warning"), failures = count("failure");
        if (flags.json) await printJson({ checks, warnings, failures });
        else {
          const bad = [counted(warnings, "warning"), counted(failures, "failure")].join(", ");
          await print(`\n${counted(checks.length, "check")}, ${bad}`);
        }
        return failures > 0 ? EXIT.usage : EXIT.ok;
      })
    );
}

/** A check for each shard: it answers, and has the whole schema. None if the catalog's is older. */
async function checkShards({ db, shards }: OpenedDatabase): Promise<Check[]> {
  if ((await pendingMigrations(db).catch(() => ["?"])).length > 0) return [];
  const all = (await shards.all()).filter(({ shard }) => shard !== undefined);
  const { answers, failed } = await askShards(all, async (db, { name }) => {
    const pending = await pendingMigrations(db), of = `shard ${name}`;
    if (pending.length > 0) {
      return [failure(of, `lacks ${pending.join(", ")}`, 'run "mpackd migrate"')];
    }
    const made = [await checkTriggers(db), await checkFunctions(db)];
    const bad = made.filter(({ status }) => status !== "ok");
    return [ok(of, "answers"), ...bad.map((check) => ({ ...check, name: `${of} ${check.name}` }))];
  });
  const checks = answers.flatMap(({ answer }) => answer);
  const away = failed.map(({ name, error }): Check => ({
    name: `shard ${name}`,
    status: "failure",
    found: error.message,
    next: "its repos are away; the others go on",
  }));
  return [...checks, ...away, ...await checkMoves(db)];
}

/** Moves that have begun and not ended. One that is under way and one that was left look alike. */
async function checkMoves(db: Database): Promise<Check[]> {
  return (await openMoves(db)).map(({ what, command, step, isHolding, minutes }): Check => ({
    name: `move of ${what}`,
    status: "warning",
    found: `at "${step}", begun ${counted(minutes, "minute")} ago` +
      (isHolding ? "; its pushes wait" : ""),
    next: `if no command works on it: "${command}" goes on, with --abort it goes back`,
  }));
}

function connectionsOf(config: Config): number {
  const { databaseConnections, httpPushConnections, concurrency } = config;
  return Math.max(databaseConnections, READ_CONNECTIONS) + httpPushConnections + concurrency +
    SPARE_CONNECTIONS;
}

function lineOf({ name, status, found, next }: Check): string {
  const line = `${WORDS[status].padEnd(8)} ${name.padEnd(22)} ${found}`;
  return next === undefined ? line : `${line}\n${" ".repeat(32)}→ ${next}`;
}
