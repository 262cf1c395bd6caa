import assert from "node:assert/strict";
import { createRepo } from "../../../src/db/repos.ts";
import { setQuota } from "../../../src/db/quotas/quotas.ts";
import { findShard } from "../../../src/db/shards/catalog.ts";
import { addWebhook } from "../../../src/db/webhooks/webhooks.ts";
import { ShardMovedError } from "../../../src/errors.ts";
import { claimJobs } from "../../../src/jobs/queue/claim_jobs.ts";
import { moveShard } from "../../../src/maintenance/shards/move_shard.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { openShardedCatalog, twoServers } from "../../support/shards/two_servers.ts";
import { keepPushing, keepQueueing, RoutedShard, workerOn } from "../../support/shards/routed.ts";
import { keysIn, leftOf } from "../../support/shards/left.ts";

Deno.test("moveShard() moves a shard while packs are pushed and indexed", async (t) => {
  await using test = await openShardedCatalog(await twoServers());
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const store = await openFileStore(folder);
  const stale = await test.openShard();
  const { repo: { repoId } } = await createRepo(stale, { owner: "me", slug: "repo" });
  const noted = await addWebhook(stale, {
    repoId,
    url: "https://example.com/",
    host: "example.com",
    events: ["pack.published", "pack.failed"],
  });
  assert(noted);
  await setQuota(stale, { kind: "repo", name: repoId }, { packs: 1_000_000 });
  const shard = new RoutedShard(test), stop = new AbortController();
  const { signal } = stop;
  const clients = [
    keepPushing(shard, { store, repoId, name: "push 1", signal }),
    keepPushing(shard, { store, repoId, name: "push 2", signal }),
    keepQueueing(shard, { store, repoId, name: "queue", signal }),
  ];
  const staleWorker = workerOn(stale, store, { signal }).run();
  const seenEarly: number[] = [];
  const summary = await moveShard(test.moveOptions({
    async onProgress({ step }) {
      // Nobody is sent to the target before it has all.
      if (step === "flip") seenEarly.push((await findShard(test.catalog, "s1"))!.version);
    },
  }));
  stop.abort();
  const keys = (await Promise.all(clients)).flat();
  await staleWorker;
  const moved = await test.openShard();
  await workerOn(moved, store, { signal: new AbortController().signal, untilEmpty: true }).run();

  await t.step("the catalog is turned over in one statement", async () => {
    assert.deepEqual(seenEarly, [1]);
    assert.equal(summary.moved, true);
    const after = (await findShard(test.catalog, "s1"))!;
    assert.deepEqual([after.url, after.state, after.version], [test.newUrl, "open", 2]);
  });

  await t.step("no pack is lost or doubled, and each event is told once", async () => {
    assert(keys.length > 10, `${keys.length} packs`);
    assert.deepEqual(await keysIn(moved), [...keys].sort());
    const [counted] = await moved.sql`select
      (select count(*)::int from musehub_object_refs) as refs,
      (select packs::int from mpackd_usage where kind = 'repo') as packs,
      (select count(*)::int from musehub_background_jobs where status in ('pending', 'running'))
        as open,
      (select count(*)::int from musehub_background_jobs j where status = 'failed'
        and last_error->>'code' <> 'shard-moved') as failed`;
    const { length } = keys;
    assert.deepEqual({ ...counted }, { refs: length, packs: length, open: 0, failed: 0 });
    const events = await moved.sql`
      select payload::jsonb->'data'->>'mpack_key' as key, count(*)::int as times
      from mpackd_deliveries where event = 'pack.published' group by 1 order by 1`;
    assert.deepEqual([...events].map(({ key }) => key), [...keys].sort());
    assert(events.every(({ times }) => times === 1));
  });

  await t.step("ids of packs go on behind those of the source", async () => {
    const [{ isOnce }] = await moved.sql`
      select count(*) = count(distinct mpack_id) as "isOnce" from musehub_mpacks`;
    assert.equal(isOnce, true);
    const [{ next }] = await moved.sql`select nextval('musehub_mpacks_mpack_id_seq') as next`;
    const [{ last }] = await stale.sql`select last_value as last from musehub_mpacks_mpack_id_seq`;
    assert(next > last);
  });

  await t.step("a stale process reads the old schema, and cannot write there", async () => {
    const before = await keysIn(stale);
    assert(before.length > 0);
    const claim = {
      worker: "stale",
      jobTypes: ["mpack.index"],
      leaseMs: 1_000,
      limit: 1,
      perRepo: 1,
    };
    await assert.rejects(claimJobs(stale, claim), ShardMovedError);
    await assert.rejects(createRepo(stale, { owner: "me", slug: "other" }), ShardMovedError);
    const tables = await stale.sql<{ name: string }[]>`
      select relname::text as name from pg_class
      where relnamespace = current_schema()::regnamespace and relkind = 'r' order by 1`;
    assert(tables.length > 35);
    for (const { name } of tables) {
      for (const text of [`delete from ${name}`, `truncate ${name} cascade`]) {
        await assert.rejects(stale.sql.unsafe(text), { code: "MPS01" }, text);
        // Not even as replication does.
        const local = `set local session_replication_role = replica; ${text}`;
        await assert.rejects(stale.sql.unsafe(local).simple(), { code: "MPS01" }, local);
      }
    }
    assert.deepEqual(await keysIn(stale), before);
  });

  await t.step("nothing of the move is left but the fence", async () => {
    // And the pause of the source's claims: a stale worker does not ask in vain.
    const [pause, ...left] = await leftOf(stale);
    assert.match(pause, /^pause shard move /);
    assert.deepEqual(left, []);
    assert.deepEqual(await leftOf(moved), []);
    const again = await moveShard(test.moveOptions());
    assert.equal(again.moved, false);
  });
  await Deno.remove(folder, { recursive: true });
});
