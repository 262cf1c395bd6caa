/**
 * Databases for tests: one server for the whole run, one database per call.
 *
 * @module
 */
import postgres from "postgres";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { lockFile } from "../../../src/db/embedded/file_lock.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { openRunDir, startTestServer } from "./test_server.ts";

/** A database of a test's own. */
export interface TestDatabase extends AsyncDisposable {
  /** Where to connect as superuser. */
  readonly url: string;
  /** Deletes it, cutting what is connected. May be called twice. */
  drop(): Promise<void>;
}

/** The schema in which tests work if `MPACKD_TEST_SCHEMAS` is 2: tests/shards.ts. */
export const SHARD_SCHEMA = "shard_1";

/** Both are made once on each server, by the first call that needs them. */
const EMPTY = "template_empty", MIGRATED = "template_migrated";
const LOCK_WAIT_MS = 60_000;

let serverUrl: Promise<string> | undefined;
const templates = new Map<string, Promise<string>>();

/**
 * Creates an empty database on the run's server, which the first call starts and the end of the
 * process stops; or on the server of `MPACKD_TEST_DATABASE_URL`, if that is set.
 *
 * @param name How the database's name begins.
 * @param server The URL of another server, where a test does things to it.
 */
export async function createTestDatabase(name = "test", server?: string): Promise<TestDatabase> {
  if (server !== undefined) return await createDatabase(server, name);
  const url = await (serverUrl ??= findTestServer());
  return hasTwoSchemas() ? await createDatabase(url, name, EMPTY) : await createDatabase(url, name);
}

/** Creates a database with all tables on the run's server: a copy, which takes half of the time. */
export async function createMigratedDatabase(name = "test"): Promise<TestDatabase> {
  return await createDatabase(await (serverUrl ??= findTestServer()), name, MIGRATED);
}

function hasTwoSchemas(): boolean {
  return Deno.env.get("MPACKD_TEST_SCHEMAS") === "2";
}

async function createDatabase(
  server: string,
  name: string,
  template?: string,
): Promise<TestDatabase> {
  const database = `${name}_${crypto.randomUUID().slice(0, 8)}`;
  let copied = "";
  if (template !== undefined) {
    if (!templates.has(template)) templates.set(template, makeTemplate(server, template));
    copied = `template "${await templates.get(template)}" strategy file_copy`;
  }
  await execute(server, `create database "${database}" ${copied}`);
  const drop = async () =>
    void await execute(server, `drop database if exists "${database}" with (force)`);
  // Databases of other servers have one schema.
  const isShard = hasTwoSchemas() && template !== undefined;
  const url = urlOf(server, database, { isShard });
  return { url, drop, [Symbol.asyncDispose]: drop };
}

function urlOf(
  server: string,
  database: string,
  { isShard }: { readonly isShard: boolean },
): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  if (isShard) url.searchParams.set("search_path", SHARD_SCHEMA);
  return url.href;
}

/** Makes a template, unless another test file or process has made it. */
async function makeTemplate(server: string, name: string): Promise<string> {
  const runDir = await openRunDir();
  // Another run may use the same server, and one run may do so in both ways.
  const template = `${name}_${hasTwoSchemas() ? "of_two_" : ""}${runDir.slice(-8)}`;
  using _lock = await lockFile(`${runDir}/templates.lock`, { waitMs: LOCK_WAIT_MS });
  const [{ count }] = await execute(
    server,
    `select count(*)::int from pg_database where datname = '${template}'`,
  );
  if (count > 0) return template;
  const making = `${template}_making`;
  await execute(server, `create database "${making}"`);
  const url = urlOf(server, making, { isShard: hasTwoSchemas() });
  if (hasTwoSchemas()) {
    const other = new URL(url);
    other.searchParams.delete("search_path");
    await migrateAt(other.href);
    await execute(other.href, `create schema ${SHARD_SCHEMA}`);
  }
  if (name === MIGRATED) await migrateAt(url);
  await execute(server, `alter database "${making}" rename to "${template}"`);
  return template;
}

async function migrateAt(url: string): Promise<void> {
  const db = connectDatabase(url, { maxConnections: 1 });
  await migrate(db);
  await db.close();
}

async function findTestServer(): Promise<string> {
  const given = Deno.env.get("MPACKD_TEST_DATABASE_URL");
  return given || (await startTestServer({ name: "shared" })).url;
}

async function execute(url: string, statement: string): Promise<postgres.Row[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
