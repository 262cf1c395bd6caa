/**
 * `deno task test:shards`: the suites that talk to a database, in one schema of two.
 * `deno task test:postgres15`: the same on a PostgreSQL 15.
 *
 * Each test has a database with all tables in `public` and works in the schema beside it, as a shard
 * does. The server explains each statement; one whose plan has tables of two schemas is an error.
 *
 * @module
 */

import { connectDatabase } from "../src/db/client/connect.ts";
import { readPlans } from "./support/postgres/plans.ts";
import { createMigratedDatabase } from "./support/postgres/postgres.ts";
import { POSTGRES_15_BIN, startTestServer } from "./support/postgres/test_server.ts";

/** Two halves that take equally long: `--half=1` and `--half=2` run beside one another. */
const SUITES = [
  ["tests/db", "tests/maintenance"],
  ["tests/jobs", "tests/objects", "tests/history"],
];
/** They choose URL or schema themselves, so they run in one schema. */
const OWN_SCHEMA = ["tests/db/rights_test.ts", "tests/db/session_test.ts", "tests/db/shards"];

const isOld = Deno.args.includes("--postgres15");
const given = Deno.args.filter((arg) => !arg.startsWith("--"));
const halves = SUITES.filter((_, i) =>
  Deno.args.every((arg) => !arg.startsWith("--half=") || arg === `--half=${i + 1}`)
);
await using server = await startTestServer({
  ...(isOld ? { binDir: POSTGRES_15_BIN } : {}),
  settings: {
    shared_preload_libraries: "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_verbose": "on",
    "auto_explain.log_format": "json",
    log_line_prefix: "",
  },
});
console.log(`On PostgreSQL ${server.version}`);
Deno.env.set("MPACKD_TEST_DATABASE_URL", server.url);
const failed = [
  ...(given.length > 0 || !halves.includes(SUITES[0]) ? [] : [await run(...OWN_SCHEMA)]),
  await inTwoSchemas(),
];
Deno.exitCode = failed.find((code) => code !== 0) ?? 0;

async function run(...args: string[]): Promise<number> {
  const options = ["-A", "--quiet", "--preload", "tests/support/deadlines.ts"];
  const command = new Deno.Command(Deno.execPath(), { args: ["test", ...options, ...args] });
  return (await command.spawn().status).code;
}

async function inTwoSchemas(): Promise<number> {
  Deno.env.set("MPACKD_TEST_SCHEMAS", "2");
  await requireStray();
  const from = await logSize();
  const code = await run(`--ignore=${OWN_SCHEMA}`, ...(given.length > 0 ? given : halves.flat()));
  const { plans, strays } = await readPlans(server.logFile, { from });
  console.log(`${plans} plans: ${strays.length} with tables of two schemas`);
  for (const { schemas, query } of strays.slice(0, 20)) {
    console.error(`Tables of ${schemas.join(" and ")}: ${query}`);
  }
  return code || (strays.length > 0 || plans === 0 ? 1 : 0);
}

/** Makes sure that a statement with tables of two schemas would be found. */
async function requireStray(): Promise<void> {
  await using database = await createMigratedDatabase("stray");
  const from = await logSize(), db = connectDatabase(database.url, { maxConnections: 1 });
  await db.sql`select from musehub_repos r join public.musehub_mpacks m on m.repo_id = r.repo_id`;
  await db.close();
  const { strays } = await readPlans(server.logFile, { from });
  if (strays.length !== 1) throw new Error("a statement with two schemas was not found in the log");
}

async function logSize(): Promise<number> {
  return (await Deno.stat(server.logFile)).size;
}
