import assert from "node:assert/strict";
import { findShard } from "../../../src/db/shards/catalog.ts";
import { ConfigError, ShardMovedError } from "../../../src/errors.ts";
import { abortMove } from "../../../src/maintenance/shards/move_back.ts";
import { moveShard } from "../../../src/maintenance/shards/move_shard.ts";
import { addRepos } from "../../support/postgres/database.ts";
import { leftOf, leftOfAborted } from "../../support/shards/left.ts";
import { afterNewKind, KilledError, mortal } from "../../support/shards/mortal.ts";
import {
  openShardedCatalog,
  type ShardedCatalog,
  twoServers,
} from "../../support/shards/two_servers.ts";

async function fill(test: ShardedCatalog) {
  const shard = await test.openShard();
  await addRepos(shard, "r1");
  await shard.sql`insert into musehub_mpacks (repo_id, mpack_key)
    select 'r1', 'sha256:' || lpad(n::text, 64, '0') from generate_series(1, 100) n`;
  return shard;
}

const COUNT = "select count(*)::int as count from musehub_mpacks";

Deno.test("moveShard() goes on after its process was killed at any statement", async () => {
  await using test = await openShardedCatalog(await twoServers());
  const source = await fill(test), seen = new Set<string>();
  let runs = 0;
  for (let isKilled = true; isKilled; runs++) {
    isKilled = await moveShard(mortal(test.moveOptions(), afterNewKind(seen))).then(
      () => false,
      (error) => {
        if (error instanceof KilledError) return true;
        throw error;
      },
    );
  }
  assert(runs > 30, `${runs} runs`);
  const moved = await test.openShard();
  assert.equal((await findShard(test.catalog, "s1"))!.url, test.newUrl);
  assert.deepEqual([...await moved.sql.unsafe(COUNT)], [{ count: 100 }]);
  assert.deepEqual(await leftOf(moved), []);
  assert.equal((await leftOf(source)).length, 1);
  await assert.rejects(addRepos(source, "r2"), { code: "MPS01" });
  await addRepos(moved, "r2");
});

Deno.test("abortMove() leaves nothing of a move that was killed", async (t) => {
  await using test = await openShardedCatalog(await twoServers());
  const source = await fill(test), target = test.open(test.newUrl);
  for (
    const last of [
      "make a replication slot",
      "subscribe to the shard",
      "fence mpackd_quotas",
      "remove a publication",
    ]
  ) {
    await t.step(`after "${last}"`, async () => {
      await assert.rejects(
        moveShard(mortal(test.moveOptions(), (action) => action === last)),
        KilledError,
      );
      const isFenced = /^(fence|remove)/.test(last);
      const write = source.query("write")`update mpackd_quotas set bytes = 1`;
      if (isFenced) await assert.rejects(write, ShardMovedError);
      else await write;
      await abortMove(test.moveOptions());
      assert.deepEqual(await leftOfAborted(source, target), []);
      const shard = (await findShard(test.catalog, "s1"))!;
      assert.deepEqual([shard.url, shard.state, shard.version], [test.oldUrl, "open", 1]);
      await source.query("write")`update mpackd_quotas set bytes = 1`;
      await assert.rejects(abortMove(test.moveOptions()), ConfigError);
    });
  }
  await t.step("a process that was taken for dead changes nothing more", async () => {
    let resume = () => {};
    const stalled = new Promise<void>((resolve) => resume = resolve);
    const reached = Promise.withResolvers<void>();
    const stale = moveShard(test.moveOptions({
      async onProgress({ step }) {
        if (step !== "flip") return;
        reached.resolve();
        await stalled;
      },
    }));
    stale.catch(() => {});
    await reached.promise;
    await abortMove(test.moveOptions());
    resume();
    await assert.rejects(stale, /another process has taken it over/);
    assert.equal((await findShard(test.catalog, "s1"))!.url, test.oldUrl);
    assert.deepEqual(await leftOfAborted(source, target), []);
  });
  await t.step("the shard can be moved after all", async () => {
    assert.equal((await moveShard(test.moveOptions())).rows > 100, true);
  });
});
