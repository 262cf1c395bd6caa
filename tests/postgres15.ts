/**
 * `deno task test:postgres15`: the suites that talk to a database, on a PostgreSQL 15 of our own.
 *
 * @module
 */

import { POSTGRES_15_BIN, startTestServer } from "./support/postgres/test_server.ts";

const SUITES = ["tests/db", "tests/jobs", "tests/objects", "tests/maintenance"];

await using server = await startTestServer({ binDir: POSTGRES_15_BIN });
console.log(`On PostgreSQL ${server.version}`);
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["test", "-A", "--quiet", ...SUITES],
  env: { MPACKD_TEST_DATABASE_URL: server.url },
}).spawn().status;
Deno.exitCode = code;
