/**
 * Databases for tests: one server for the whole run, one database per call.
 *
 * @module
 */
import postgres from "postgres";
import { startTestServer } from "./test_server.ts";

/** A database of a test's own. */
export interface TestDatabase extends AsyncDisposable {
  /** Where to connect as superuser. */
  readonly url: string;
  /** Deletes it, cutting what is connected. May be called twice. */
  drop(): Promise<void>;
}

let serverUrl: Promise<string> | undefined;

/**
 * Creates an empty database on the run's server, which the first call starts and the end of the
 * process stops; or on the server of `MPACKD_TEST_DATABASE_URL`, if that is set.
 *
 * @param name How the database's name begins.
 * @param server The URL of another server, where a test does things to it.
 */
export async function createTestDatabase(name = "test", server?: string): Promise<TestDatabase> {
  const admin = server ?? await (serverUrl ??= findTestServer());
  const database = `${name}_${crypto.randomUUID().slice(0, 8)}`;
  await execute(admin, `create database "${database}"`);
  const url = new URL(admin);
  url.pathname = `/${database}`;
  const drop = () => execute(admin, `drop database if exists "${database}" with (force)`);
  return { url: url.href, drop, [Symbol.asyncDispose]: drop };
}

async function findTestServer(): Promise<string> {
  const given = Deno.env.get("MPACKD_TEST_DATABASE_URL");
  return given || (await startTestServer({ name: "shared" })).url;
}

async function execute(url: string, statement: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
