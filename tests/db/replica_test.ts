import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { currentLsn, isLsn, Replica } from "../../src/db/client/replica.ts";
import { createRepo, findRepo } from "../../src/db/repos.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { POSTGRES_15_BIN, startTestServer } from "../support/postgres/test_server.ts";
import { until } from "../support/until.ts";

const hasPostgres15 = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);

Deno.test("isLsn() knows positions from other texts", () => {
  for (const text of ["0/0", "0/16B3748", "ffffffff/FFFFFFFF"]) assert(isLsn(text), text);
  for (const text of ["", "0", "0/", "/0", "0/0 ", "0/123456789", "0/0'", "x/1"]) {
    assert(!isLsn(text), text);
  }
});

Deno.test({
  name: "Replica reads on the standby what it has replayed, and all else on the primary",
  ignore: !hasPostgres15 && !Deno.env.get("CI"),
}, async (t) => {
  const settings = { wal_level: "replica", max_wal_senders: "4", hot_standby: "on" };
  await using server = await startTestServer({ binDir: POSTGRES_15_BIN, settings });
  await using primary = asDisposable(connectDatabase(server.url, { maxConnections: 2 }));
  await migrate(primary);
  await using standby = await startTestServer({
    binDir: POSTGRES_15_BIN,
    settings,
    standbyOf: server.url,
  });
  const url = new URL(standby.url);
  url.searchParams.set("target_session_attrs", "any");
  await using there = asDisposable(connectDatabase(url.href, { maxConnections: 2 }));
  const replica = new Replica({ primary, replica: there });
  const isThere = async (lsn: string) => {
    const { db } = await replica.reading(lsn);
    const [{ there }] = await db.query<{ there: boolean }>("look")`
      select pg_is_in_recovery() as there`;
    return there;
  };

  await t.step("a read that allows any state is the standby's", async () => {
    await until("the standby is asked", () => isThere("0/0"));
  });

  await t.step("one that must see what was written waits for nobody", async () => {
    await there.sql`select pg_wal_replay_pause()`;
    await createRepo(primary, { owner: "ada", slug: "engine" });
    const lsn = await currentLsn(primary);
    assert(!await isThere(lsn));
    assert(await findRepo((await replica.reading(lsn)).db, { owner: "ada", slug: "engine" }));
    // The older state is there for those who allow it.
    await until("the standby, which does not have it, is asked", async () => {
      const { db } = await replica.reading("0/0");
      return await findRepo(db, { owner: "ada", slug: "engine" }) === undefined;
    });
    await there.sql`select pg_wal_replay_resume()`;
    await until("the standby has it", () => isThere(lsn));
    assert(await findRepo((await replica.reading(lsn)).db, { owner: "ada", slug: "engine" }));
  });

  await t.step(
    "a statement that writes, or reads an unlogged table, is the primary's",
    async () => {
      const { db } = await replica.reading("0/0");
      await db.query("write")`insert into mpackd_walk_ids (walk_id, kind, page, ids)
      values ('w', 'k', 1, array['a'])`;
      const rows = await db.query("read")`select from mpackd_walk_ids where walk_id = 'w'`;
      assert.equal(rows.length, 1);
    },
  );

  await t.step("a standby that goes away is left alone, and asked again later", async () => {
    const { db } = await replica.reading("0/0");
    await standby.kill();
    assert.equal((await db.query("look")`select 1 as one`).length, 1);
    assert(!await isThere("0/0"));
    await standby.start();
    await until("the standby is asked again", () => isThere("0/0"));
  });
});

function asDisposable<T extends { close(): Promise<void> }>(db: T): T & AsyncDisposable {
  return { ...db, [Symbol.asyncDispose]: () => db.close() };
}
