import assert from "node:assert/strict";
import { countUse, readIdentity } from "../../src/db/store_owner.ts";
import { findShard } from "../../src/db/shards/catalog.ts";
import { ShardPools } from "../../src/db/shards/shard_pools.ts";
import { claimStore } from "../../src/maintenance/store_owner.ts";
import { StoreUses } from "../../src/maintenance/store_uses.ts";
import { openFileStore } from "../../src/stream/store/folder/folder_store.ts";
import { readMarker } from "../../src/stream/store/store_marker.ts";
import { createFixture } from "../support/process/fixture.ts";
import { addShard } from "../support/shards/catalog_with.ts";

Deno.test("StoreUses counts the catalog and each shard that is open, until it moves", async (t) => {
  await using fixture = await createFixture();
  const { db, databaseUrl: url } = fixture, config = fixture.config();
  const store = openFileStore(await Deno.makeTempDir({ prefix: "mpackd-test-" }));
  for (const name of ["s1", "s2"]) await (await addShard({ db, url }, name)).close();
  await using shards = new ShardPools({ catalog: db, catalogUrl: url, maxConnections: 4 });
  const { db: s1 } = await shards.at({ shard: "s1", version: 1 });
  const { db: s2 } = await shards.at({ shard: "s2", version: 1 });
  const all = [db, s1, s2];
  // Two markers in one folder, as those of shards without a store of their own.
  for (const place of all) await claimStore({ db: place, store, config });
  const uses = new StoreUses({ db, store, config, shards });

  /** By how much each counter rises, as it is in the database and in the marker. */
  const counted = async () => {
    const before = await Promise.all(all.map(async (place) => (await readIdentity(place)).counter));
    for (const place of all) await place.sql`update mpackd_database set counted_at = null`;
    await uses.count();
    return await Promise.all(all.map(async (place, i) => {
      const { counter } = await readIdentity(place);
      const marker = await readMarker(store, { shard: place.shard });
      assert.equal(marker?.counter, counter);
      return counter - before[i];
    }));
  };
  await t.step("nothing but the catalog is open", async () => {
    assert.deepEqual(await counted(), [1, 0, 0]);
  });
  await t.step("one shard is open", async () => {
    uses.add((await findShard(db, "s1"))!, s1, store);
    assert.deepEqual(await counted(), [1, 1, 0]);
    assert.equal(await countUse(s1), undefined, "once a minute, whoever counts");
  });
  await t.step("it is being moved, and is elsewhere then", async () => {
    uses.add((await findShard(db, "s2"))!, s2, store);
    await db.sql`update mpackd_shards set state = 'moving' where name = 's1'`;
    assert.deepEqual(await counted(), [1, 0, 1]);
    await db.sql`update mpackd_shards set state = 'open', version = version + 1
      where name = 's1'`;
    assert.deepEqual(await counted(), [1, 0, 1]);
  });
});
