import assert from "node:assert/strict";
import { findShard } from "../../../src/db/shards/catalog.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import { abortMove } from "../../../src/maintenance/shards/move_back.ts";
import { moveShard } from "../../../src/maintenance/shards/move_shard.ts";
import { mpackKey } from "../../support/mpack/mpacks.ts";
import { Random } from "../../fuzz/random.ts";
import { startProcess, startWorkerProcess } from "../../support/process/mpackd_process.ts";
import { runMain } from "../../support/process/main.ts";
import { keysIn, leftOf, leftOfAborted } from "../../support/shards/left.ts";
import { afterNewKind, KilledError, mortal } from "../../support/shards/mortal.ts";
import { packOf } from "../../support/shards/routed.ts";
import { openShardedCatalog, twoServers } from "../../support/shards/two_servers.ts";
import { until } from "../../support/until.ts";

const KILLS = 6;

Deno.test("shard move: processes push, index and read while it is killed again and again", async () => {
  await using test = await openShardedCatalog(await twoServers());
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const random = new Random(Date.now() % 1_000_000);
  const env = { DATABASE_URL: test.catalogUrl, MPACK_STORE: `file://${folder}` };
  const main = async (...args: string[]) => {
    const { code, stdout, stderr } = await runMain(args, env);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  await main("identity", "create", "me", "--key", `${folder}/key`);
  const token = (await main("token", "create", "me", "--scopes", "read,push")).trim();
  const authorization = `Bearer ${token}`;
  await main("repo", "create", "me/repo", "--shard", "s1");
  const source = await test.openShard();
  const processes = { databaseUrl: test.catalogUrl, folder };
  await using server = startWorkerProcess({
    ...processes,
    command: "serve",
    args: ["--port", "0"],
  });
  await using _worker = startWorkerProcess(processes);
  // It is stopped before the fence and goes on after the flip: it knows nothing of the move.
  await using stale = startWorkerProcess(processes);
  const { message } = await server.line(({ message }) => /http:\/\//.test(message));
  const url = /http:\/\/[^\s;"]+/.exec(message)![0];
  const stop = new AbortController(), { signal } = stop;
  const accepted: string[] = [], waits: number[] = [], unread: string[] = [];
  const push = async (name: string) => {
    for (let n = 0; !signal.aborted; n++) {
      const bytes = packOf(`${name} ${n}`), key = mpackKey(bytes), startedAt = performance.now();
      for (;;) {
        const response = await fetch(`${url}/me/repo/push/stream`, {
          method: "POST",
          headers: { "x-mpack-key": key, authorization },
          body: new Uint8Array(bytes),
        });
        const text = await response.text();
        if (response.status === 200) break;
        assert.equal(response.status, 503, `${name} ${n}: ${text}`);
        await sleep(100);
      }
      waits.push(performance.now() - startedAt);
      accepted.push(key);
      await sleep(20);
    }
  };
  const queue = async () => {
    for (let n = 0; !signal.aborted; n++) {
      const bytes = packOf(`queued ${n}`), key = mpackKey(bytes);
      const path = `${folder}/queued`;
      await Deno.writeFile(path, bytes);
      const { code } = await runMain(["enqueue", path, "--repo", "me/repo"], env);
      if (code === 0) accepted.push(key);
      await sleep(300);
    }
  };
  const read = async () => {
    const content = new TextEncoder().encode("push 1 0"), id = mpackKey(content);
    await until("five pushes are accepted", () => accepted.length >= 5);
    while (!signal.aborted) {
      const response = await fetch(`${url}/me/repo/objects/${id}`, {
        headers: { authorization },
      });
      const text = await response.text();
      if (response.status !== 200) unread.push(`${response.status} ${text}`);
      await sleep(20);
    }
  };
  const clients = [push("push 1"), push("push 2"), queue(), read()];
  await until("ten pushes are accepted", () => accepted.length >= 10);

  stale.kill("SIGSTOP");
  let runs = 0, code: number | undefined;
  for (; code !== 0; runs++) {
    const move = startProcess(["shard", "move", "s1", "--to", test.newUrl, "--wait", "1s"], env);
    if (runs < KILLS) {
      await sleep(600 + random.below(2_500));
      move.kill("SIGKILL");
    }
    const ended = await move.ended;
    code = ended.code;
    assert(runs < KILLS || code === 0, ended.stderr);
  }
  stale.kill("SIGCONT");
  const before = await keysIn(source);
  await sleep(5_000);
  stop.abort();
  await Promise.all(clients);
  await main("worker", "--drain");

  const moved = await test.openShard();
  assert.equal((await findShard(test.catalog, "s1"))!.url, test.newUrl);
  assert.deepEqual(unread, []);
  assert.deepEqual(await keysIn(moved), [...new Set(accepted)].sort());
  assert.deepEqual(await keysIn(source), before);
  assert.deepEqual(await leftOf(moved), []);
  assert.equal((await leftOf(source)).length, 1);
  const [{ open }] = await moved.sql`select count(*)::int as open from musehub_background_jobs
    where status in ('pending', 'running')`;
  assert.equal(open, 0);
  console.log(
    `${accepted.length} packs, ${runs} runs, the longest push took ${
      Math.round(Math.max(...waits))
    } ms`,
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("abortMove() leaves nothing, at whatever statement the move was killed", async (t) => {
  await using test = await openShardedCatalog(await twoServers());
  const source = await test.openShard(), target = test.open(test.newUrl);
  const seen = new Set<string>();
  for (let isKilled = true; isKilled;) {
    const known = new Set(seen);
    isKilled = await moveShard(mortal(test.moveOptions(), afterNewKind(seen))).then(
      () => false,
      (error) => {
        if (error instanceof KilledError) return true;
        throw error;
      },
    );
    const [last] = [...seen].filter((kind) => !known.has(kind));
    const [{ has_move }] = await test.catalog.sql`
      select exists (select from mpackd_shard_moves where ended_at is null) as has_move`;
    if (!isKilled || !has_move) continue;
    await t.step(`after "${last}"`, async () => {
      await abortMove(test.moveOptions());
      assert.deepEqual(await leftOfAborted(source, target), []);
      await source.query("write")`update mpackd_quotas set bytes = 1`;
    });
  }
});
