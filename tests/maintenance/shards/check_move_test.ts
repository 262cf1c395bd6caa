import assert from "node:assert/strict";
import { findShard } from "../../../src/db/shards/catalog.ts";
import { ConfigError } from "../../../src/errors.ts";
import { dropSubscription } from "../../../src/db/shards/move_target.ts";
import { conninfoOf } from "../../../src/maintenance/shards/conninfo.ts";
import { abortMove } from "../../../src/maintenance/shards/move_back.ts";
import { moveShard } from "../../../src/maintenance/shards/move_shard.ts";
import { drain, remove, removeOld } from "../../../src/maintenance/shards/remove_shard.ts";
import { createTestDatabase } from "../../support/postgres/postgres.ts";
import { addRepos } from "../../support/postgres/database.ts";
import { startTestServer } from "../../support/postgres/test_server.ts";
import { leftOfAborted } from "../../support/shards/left.ts";
import { until } from "../../support/until.ts";
import { addTestShard, openShardedCatalog, twoServers } from "../../support/shards/two_servers.ts";

Deno.test("moveShard() says what is missing before it makes anything", async (t) => {
  const servers = await twoServers();
  await using test = await openShardedCatalog(servers);
  const source = await test.openShard(), target = test.open(test.newUrl);
  const refuses = async (message: RegExp, options = {}) => {
    for (const isDryRun of [true, false]) {
      await assert.rejects(moveShard(test.moveOptions({ isDryRun, ...options })), (error) => {
        assert(error instanceof ConfigError, String(error));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /postgres:\/\//);
        return true;
      });
    }
    const [{ count }] = await test.catalog.sql`
      select count(*)::int as count from mpackd_shard_moves`;
    assert.equal(count, 0);
  };
  await t.step("nothing is missing: a dry run changes nothing", async () => {
    const { dry_run, tables } = await moveShard(test.moveOptions({ isDryRun: true }));
    assert.deepEqual([dry_run, tables > 30], [true, true]);
    assert.deepEqual(await leftOfAborted(source, target), []);
  });
  await t.step(
    "the target cannot reach the source",
    () =>
      refuses(/could not connect.*--source-url/s, {
        sourceUrl: test.oldUrl.replace(/:\d+\//, ":1/"),
      }),
  );
  await t.step(
    "the role may not replicate, or is none",
    () =>
      refuses(/the role "nobody" may not replicate; run there: alter role/, {
        sourceUrl: test.oldUrl.replace(/\/\/\w+:/, "//nobody:"),
      }),
  );
  await t.step(
    "it is in this database already",
    () => refuses(/in this database already/, { newUrl: `${test.oldUrl}&application_name=x` }),
  );
  await t.step("another schema", () =>
    refuses(/keeps the name of its schema, s1/, {
      newUrl: test.newUrl.replace("=s1", "=other"),
    }));
  await t.step("tables and columns of others, and no key", async () => {
    await source.sql`create table theirs (id int)`;
    await refuses(/tables that are not mpackd's: theirs/);
    await source.sql`drop table theirs`;
    await source.sql`alter table musehub_tags add column theirs int`;
    await refuses(/musehub_tags has columns that are not mpackd's: theirs/);
    await source.sql`alter table musehub_tags drop column theirs`;
    await source.sql`alter table mpackd_finished_audits replica identity default`;
    await refuses(/mpackd_finished_audits has no primary key.*replica identity full/);
    await source.sql`alter table mpackd_finished_audits replica identity full`;
  });
  await t.step("the target's schema is not empty", async () => {
    await target.sql`create schema s1`;
    await target.sql`create table s1.theirs (id int)`;
    await refuses(/a schema s1 that is not empty/);
    await target.sql`drop schema s1 cascade`;
  });
  await t.step("wal_level", async () => {
    await using plain = await startTestServer();
    await using database = await createTestDatabase("plain", plain.url);
    const url = `${database.url}?search_path=public`;
    const shard = await addTestShard(test, "plain", url);
    await refuses(/wal_level=replica.*alter system set wal_level = logical/s, {
      shard: "plain",
      newUrl: test.newUrl.replace(/\?.*/, ""),
    });
    await shard.close();
  });
});

Deno.test("conninfoOf() writes what libpq knows, quoted", () => {
  assert.equal(
    conninfoOf("postgres://u:p%27%5C@a:1,b:2/d?sslmode=require&search_path=s&prepare=false"),
    "host='a,b' port='1,2' dbname='d' user='u' password='p\\'\\\\' sslmode='require' " +
      "target_session_attrs='read-write' connect_timeout='10'",
  );
});

Deno.test("moveShard() copies again when its copy has lost what it goes on from", async (t) => {
  await using test = await openShardedCatalog(await twoServers());
  const source = await test.openShard(), target = test.open(test.newUrl);
  const losses = {
    // As after a crash of the target that undoes the last commit of a worker, but not its slot's end.
    "the slot of a table": async () => {
      const rows = await target
        .sql`update pg_subscription_rel set srsubstate = 'f', srsublsn = '0/1'
        where srrelid = 's1.musehub_tags'::regclass and srsubstate = 'r' returning 1`;
      return rows.length > 0;
    },
    "the move's slot": async () => {
      const rows = await source.sql<{ slot: string }[]>`
        select slot_name as slot from pg_replication_slots
        where slot_name like 'mpackd_move_%' and database = current_database()`;
      if (rows.length === 0) return false;
      const [{ slot }] = rows;
      // The target connects again at once, so it takes some tries.
      await until("the slot is gone", async () => {
        await source.query("drop the slot")`
          select pg_terminate_backend(active_pid) from pg_replication_slots
          where slot_name = ${slot} and active_pid is not null`;
        await source.query("drop the slot")`
          select pg_drop_replication_slot(slot_name) from pg_replication_slots
          where slot_name = ${slot}`.catch(() => {});
        return (await source.sql`select from pg_replication_slots where slot_name = ${slot}`)
          .length === 0;
      });
      return true;
    },
    "the subscription": async () => {
      const [{ name }] = await target.sql`select subname as name from pg_subscription
        where subdbid = (select oid from pg_database where datname = current_database())`;
      await dropSubscription(target, name);
      return true;
    },
  };
  for (const [what, lose] of Object.entries(losses)) {
    await t.step(what, async () => {
      const steps: string[] = [];
      const stop = new AbortController();
      const options = test.moveOptions({
        signal: stop.signal,
        async onProgress({ step, done }) {
          if (step === "copy" && done !== undefined && !steps.includes("lost") && await lose()) {
            steps.push("lost");
          }
          if (step === "back" || step === "drain") steps.push(step);
          if (step === "drain") stop.abort();
        },
      });
      await assert.rejects(moveShard(options), { name: "AbortError" });
      assert.deepEqual(steps.filter((step, i) => step !== steps[i - 1]), ["lost", "back", "drain"]);
      await abortMove(test.moveOptions());
      assert.deepEqual(await leftOfAborted(source, target), []);
    });
  }
  await t.step("the fence, when both sides were equal", async () => {
    let isLost = false;
    const steps: string[] = [];
    await moveShard(test.moveOptions({
      async onProgress({ step }) {
        if (step === "flip" && !isLost) {
          isLost = true;
          await source.sql`drop trigger mpackd_moved on mpackd_quotas`;
          await source
            .sql`insert into mpackd_quotas (kind, name, bytes) values ('repo', 'late', 1)`;
        }
        if (step === "back") steps.push(step);
      },
    }));
    assert(steps.length > 0);
    const moved = await test.openShard();
    assert.equal((await moved.sql`select from mpackd_quotas where name = 'late'`).length, 1);
  });
});

Deno.test("moveShard() goes on while its servers restart; then the old schema can go", async (t) => {
  const { first, second } = await twoServers();
  await using test = await openShardedCatalog({ first, second });
  const source = await test.openShard();
  await addRepos(source, "r1");
  await source.sql`insert into musehub_mpacks (repo_id, mpack_key)
    select 'r1', 'sha256:' || lpad(n::text, 64, '0') from generate_series(1, 1000) n`;
  const restarted = new Set<string>();
  const restart = async (step: string, when: string, server: typeof first) => {
    if (step !== when || restarted.has(step)) return;
    restarted.add(step);
    await server.restart();
  };
  await moveShard(test.moveOptions({
    async onProgress({ step }) {
      await restart(step, "copy", second);
      await restart(step, "replay", first);
      await restart(step, "detach", second);
    },
  }));
  assert.equal(restarted.size, 3);
  const moved = await test.openShard();
  assert.deepEqual([...await moved.sql`select count(*)::int as n from musehub_mpacks`], [
    { n: 1000 },
  ]);
  await t.step("the old schema goes once, and only when it is fenced", async () => {
    const options = test.moveOptions();
    await source.sql`drop trigger mpackd_moved on musehub_tags`;
    await assert.rejects(removeOld(options), /musehub_tags there can be written/);
    await source.sql`create trigger mpackd_moved before insert or update or delete or truncate
      on musehub_tags for each statement execute function mpackd_moved()`;
    await source.sql`alter table musehub_tags enable always trigger mpackd_moved`;
    await removeOld({ ...options, isDryRun: true });
    await removeOld(options);
    const gone = await source.sql`select to_regnamespace('s1') is null as is_gone`;
    assert.deepEqual([...gone], [{ is_gone: true }]);
    await assert.rejects(removeOld(options), ConfigError);
    assert.equal((await moved.sql`select count(*)::int as n from musehub_mpacks`)[0].n, 1000);
  });
  await t.step("a shard is removed when it is drained and has no repos", async () => {
    const { catalog } = test;
    await assert.rejects(remove(catalog, "s1"), /shard drain s1/);
    await drain(catalog, "s1", { isUndone: false });
    assert.equal((await findShard(catalog, "s1"))!.state, "drained");
    await addRepos(catalog, "r1");
    await catalog.sql`update musehub_repos set shard = 's1'`;
    await assert.rejects(remove(catalog, "s1"), /it has 1 repo,/);
    await catalog.sql`update musehub_repos set shard = null`;
    await remove(catalog, "s1", { isDryRun: true });
    await remove(catalog, "s1");
    assert.equal(await findShard(catalog, "s1"), undefined);
    await assert.rejects(drain(catalog, "s1", { isUndone: false }), ConfigError);
  });
});
