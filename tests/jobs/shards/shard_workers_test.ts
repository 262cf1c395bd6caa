/**
 * Workers that follow the shards of a catalog.
 *
 * @module
 */

import assert from "node:assert/strict";
import { freePort } from "../../support/process/free_port.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { ShardPools } from "../../../src/db/shards/shard_pools.ts";
import { insertShard, setShardState } from "../../../src/db/shards/catalog.ts";
import { readShardNames, ShardWorkers } from "../../../src/jobs/shards/shard_workers.ts";
import { openTestDatabase, type TestDatabase } from "../../support/postgres/database.ts";
import { addShard } from "../../support/shards/catalog_with.ts";

/** Writes down what happens, and waits for it. */
function journal() {
  const lines: string[] = [];
  let check = () => {};
  return {
    lines,
    note(line: string) {
      lines.push(line);
      check();
    },
    /** Waits until these lines are there, in any order, and takes them. */
    async take(...wanted: string[]): Promise<void> {
      const isThere = () => wanted.every((line) => lines.includes(line));
      await new Promise<void>((resolve) => {
        check = () => isThere() && resolve();
        check();
      });
      for (const line of wanted) lines.splice(lines.indexOf(line), 1);
    },
  };
}

function start(
  { db, url }: TestDatabase,
  { stop, ...options }: { stop: AbortController; names?: Set<string>; untilEmpty?: boolean },
) {
  const seen = journal();
  const pools = new ShardPools({ catalog: db, catalogUrl: url, maxConnections: 4 });
  const workers = new ShardWorkers({
    pools,
    async open(shard, signal) {
      const opened = await pools.at({ shard: shard.name, version: shard.version });
      const life = `${shard.name} ${shard.version}`;
      return {
        db: opened.db as Database,
        async run() {
          seen.note(`${life} runs`);
          if (options.untilEmpty || signal.aborted) return;
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        },
        wake() {},
        [Symbol.asyncDispose]: () => Promise.resolve(seen.note(`${life} ended`)),
      };
    },
    onChange: (shard, error) => seen.note(`${shard} ${error === undefined ? "up" : "away"}`),
    onEnd: (shard) => seen.note(`${shard} left`),
    onError: (error) => seen.note(error.message),
    signal: stop.signal,
    readMs: 20,
    ...options,
  });
  return { seen, pools, workers };
}

Deno.test("ShardWorkers follows the catalog: shards that are added, moved, and removed", async () => {
  await using catalog = await openTestDatabase();
  const stop = new AbortController();
  const { seen, pools, workers } = start(catalog, { stop });
  const over = workers.run();
  await using shard = await addShard(catalog, "s1").then(closing);
  workers.read();
  await seen.take("s1 up", "s1 1 runs");
  assert.equal(workers.at("s1")?.shard, "s1");
  await setShardState(catalog.db, "s1", "moving");
  await seen.take("s1 1 ended", "s1 left");
  assert.equal(workers.at("s1"), undefined);
  // Moved back, and then moved: the version tells.
  await setShardState(catalog.db, "s1", "open");
  workers.read();
  await seen.take("s1 up", "s1 1 runs");
  await catalog.db.sql`update mpackd_shards set version = 2`;
  await seen.take("s1 1 ended", "s1 up", "s1 2 runs");
  assert.notEqual(workers.at("s1"), undefined);
  await setShardState(catalog.db, "s1", "drained");
  await catalog.db.sql`delete from mpackd_shards`;
  await seen.take("s1 2 ended", "s1 left");
  assert.deepEqual(seen.lines, [], "a drained shard goes on with its jobs");
  stop.abort();
  await over;
  await pools[Symbol.asyncDispose]();
  assert.equal(shard.db.shard, "s1");
});

Deno.test("ShardWorkers tells once that a shard is away, and the others work meanwhile", async () => {
  await using catalog = await openTestDatabase();
  await using _shard = await addShard(catalog, "s1").then(closing);
  const url = new URL(catalog.url);
  url.port = String(await freePort());
  await insertShard(catalog.db, { name: "s2", url: url.href, replicaUrl: null, storeUrl: null });
  const stop = new AbortController();
  const { seen, pools, workers } = start(catalog, { stop });
  const over = workers.run();
  await seen.take("s1 up", "s1 1 runs", "s2 away");
  assert.deepEqual([...workers.states], [["s1", true], ["s2", false]]);
  // What a worker says of its statements counts, too: each change once.
  for (const error of [new Error(), new Error(), undefined, undefined]) workers.note("s1", error);
  await seen.take("s1 away", "s1 up");
  assert.deepEqual(seen.lines, []);
  stop.abort();
  await over;
  await pools[Symbol.asyncDispose]();
});

Deno.test("ShardWorkers that ends with the jobs passes over a shard that is away, and says so", async () => {
  await using catalog = await openTestDatabase();
  await using _shard = await addShard(catalog, "s1").then(closing);
  await using _other = await addShard(catalog, "s3").then(closing);
  const url = `postgres://127.0.0.1:${await freePort()}/db?search_path=s2`;
  await insertShard(catalog.db, { name: "s2", url, replicaUrl: null, storeUrl: null });
  const stop = new AbortController(), names = new Set(["s1", "s2"]);
  const { seen, pools, workers } = start(catalog, { stop, names, untilEmpty: true });
  await workers.run();
  assert.deepEqual([...workers.away.keys()], ["s2"]);
  await seen.take("s1 up", "s1 1 runs", "s1 1 ended", "s1 left", "s2 away", "s2 left");
  assert.deepEqual(seen.lines, []);
  await pools[Symbol.asyncDispose]();
});

Deno.test("readShardNames() refuses a name that no shard has", () => {
  assert.deepEqual(readShardNames("s1, catalog", ["catalog", "s1"]), new Set(["s1", "catalog"]));
  assert.throws(() => readShardNames("s1,s2", ["catalog", "s1"]), /"s2": .* only catalog, s1/);
});

function closing(db: Database) {
  return { db, [Symbol.asyncDispose]: () => db.close() };
}
