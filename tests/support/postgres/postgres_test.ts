import assert from "node:assert/strict";
import postgres from "postgres";
import { createTestDatabase } from "./postgres.ts";
import { POSTGRES_15_BIN, startTestServer } from "./test_server.ts";

/** One query on a connection of its own. */
async function ask(url: string, query: string): Promise<unknown> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    const [row] = await sql.unsafe(query);
    return Object.values(row)[0];
  } finally {
    await sql.end();
  }
}

Deno.test("createTestDatabase() lends databases that do not see each other", async () => {
  await using one = await createTestDatabase("one");
  await using two = await createTestDatabase("two");
  await ask(one.url, "create table t (); select 1").catch(() => {});
  assert.equal(await ask(one.url, "select to_regclass('t') is not null"), true);
  assert.equal(await ask(two.url, "select to_regclass('t') is null"), true);
  await one.drop();
  await assert.rejects(ask(one.url, "select 1"), /does not exist/);
});

for (const [title, binDir] of [["18", undefined], ["15", POSTGRES_15_BIN]] as const) {
  const isThere = binDir === undefined || await Deno.stat(binDir).then(() => true, () => false);
  Deno.test({
    name: `startTestServer() runs PostgreSQL ${title} through restart, kill and stop`,
    ignore: !isThere,
    fn: async () => {
      await using server = await startTestServer({ binDir, settings: { max_connections: "7" } });
      assert.ok(server.version.startsWith(title));
      assert.equal(await ask(server.url, "show max_connections"), "7");
      const first = await server.pid();
      await server.restart();
      const second = await server.pid();
      assert.notEqual(second, first);
      await server.kill();
      await assert.rejects(ask(server.url, "select 1"), { code: "ECONNREFUSED" });
      await server.start();
      assert.notEqual(await server.pid(), second);
      await server.stop();
      await assert.rejects(server.pid());
    },
  });
}
