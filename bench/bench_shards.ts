/**
 * `deno task bench:shards`: what 64 clients notice while every shard of two servers is moved once.
 *
 * Each client pushes a small pack to its repo and reads it back, over one `mpackd serve`, before,
 * during and after the moves: what counts is the ratio to before, in the same run.
 *
 * @module
 */

import { Command } from "commander";
import { connectDatabase } from "../src/db/client/connect.ts";
import { findShard } from "../src/db/shards/catalog.ts";
import { createPlacedRepo } from "../src/db/shards/create_repo.ts";
import { ShardPools } from "../src/db/shards/shard_pools.ts";
import { moveShard } from "../src/maintenance/shards/move_shard.ts";
import { startServer } from "../tests/support/http/server_process.ts";
import { buildMpack, mpackKey, object } from "../tests/support/mpack/mpacks.ts";
import type { TestFixture } from "../tests/support/process/fixture.ts";
import { openWorld, tokenOf, type World } from "../tests/support/shards/world.ts";

interface Flags {
  readonly clients: number;
  readonly shards: number;
  readonly seconds: number;
  readonly pause: number;
  readonly json: boolean;
}

type Phase = "before" | "during" | "after";

const flags = new Command("bench_shards")
  .description("Pushes and reads of many clients while every shard is moved once.")
  .option("--clients <n>", "clients at once, each with a repo", Number, 64)
  .option("--shards <n>", "shards of each server", Number, 8)
  .option("--seconds <n>", "how long before and after the moves", Number, 20)
  .option("--pause <ms>", "pause of a client between two requests", Number, 100)
  .option("--json", "one JSON document on stdout", false)
  .parse(Deno.args, { from: "user" }).opts<Flags>();

await using world = await openWorld(flags.shards);
const token = await tokenOf(world.catalog, "ann");
await makeRepos(world, flags.clients);
await using server = await startServer({
  fixture: { databaseUrl: world.catalogUrl, folder: world.folder } as TestFixture,
  isOpen: false,
  env: { MPACK_HTTP_CONNECTIONS_PER_ADDRESS: "1000", MPACK_HTTP_UPLOADS: "1000" },
});
const started = Deno.loadavg()[0];
let phase: Phase = "before";
const took: Record<Phase, Record<"push" | "read", number[]>> = {
  before: { push: [], read: [] },
  during: { push: [], read: [] },
  after: { push: [], read: [] },
};
const refused: Record<string, number> = {};
const stop = new AbortController();
const clients = Array.from({ length: flags.clients }, (_, i) => runClient(i));
await pause(2_000);
for (const kind of ["push", "read"] as const) took.before[kind].length = 0;
await pause(flags.seconds * 1_000);
phase = "during";
const movesAt = performance.now(), fencedMs: number[] = [];
for (const name of world.names) fencedMs.push(await move(name));
const movesMs = performance.now() - movesAt;
phase = "after";
await pause(flags.seconds * 1_000);
stop.abort();
await Promise.all(clients);

const rows = (["push", "read"] as const).map((kind) => {
  const figures = (at: Phase) => {
    const sorted = took[at][kind].toSorted((a, b) => a - b);
    const of = (share: number) =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return { count: sorted.length, p50: of(0.5), p99: of(0.99), longest: sorted.at(-1)! };
  };
  return { kind, before: figures("before"), during: figures("during"), after: figures("after") };
});
const moves = { shards: fencedMs.length, ms: movesMs, longest_fenced_ms: Math.max(...fencedMs) };
const load_average = [started, Deno.loadavg()[0]];
if (flags.json) console.log(JSON.stringify({ rows, moves, refused, load_average }));
else {
  console.log(`load average ${load_average.map((load) => load.toFixed(1)).join(" to ")}`);
  for (const { kind, ...phases } of rows) {
    for (const [name, { count, p50, p99, longest }] of Object.entries(phases)) {
      const ratio = (p99 / phases.before.p99).toFixed(2);
      console.log(
        `${kind} ${name.padEnd(6)} ${String(count).padStart(6)}: p50 ${p50.toFixed(1)} ms, ` +
          `p99 ${p99.toFixed(1)} ms (${ratio} of before), longest ${longest.toFixed(0)} ms`,
      );
    }
  }
  console.log(
    `${moves.shards} shards moved in ${
      (moves.ms / 1_000).toFixed(1)
    } s; the writers of one waited ` +
      `${moves.longest_fenced_ms} ms at most`,
  );
  console.log("Answers that were no success:", refused);
}

/** Pushes and reads in turns, until it is stopped. */
async function runClient(i: number): Promise<void> {
  const path = `${server.url}/ann/r${i}`, headers = { authorization: `Bearer ${token}` };
  const send = async (kind: "push" | "read", url: string, init: RequestInit) => {
    const at = phase, begunAt = performance.now();
    const answer = await fetch(url, { ...init, headers: { ...headers, ...init.headers } });
    await answer.arrayBuffer();
    if (answer.status === 200) {
      took[at][kind].push(performance.now() - begunAt);
      return true;
    }
    refused[`${kind} ${answer.status}`] = (refused[`${kind} ${answer.status}`] ?? 0) + 1;
    return false;
  };
  for (let n = 0; !stop.signal.aborted; n++) {
    const content = new TextEncoder().encode(`client ${i} ${n}`);
    const pack = new Uint8Array(buildMpack({ objects: [object({ content })] }));
    const isThere = await send("push", `${path}/push/stream`, {
      method: "POST",
      body: pack,
      headers: { "x-mpack-key": mpackKey(pack), "content-type": "application/octet-stream" },
    });
    await pause(flags.pause);
    if (isThere) await send("read", `${path}/objects/${mpackKey(content)}`, {});
    await pause(flags.pause);
  }
}

/** Moves a shard to the other server; returns how long its writers had to wait. */
async function move(name: string): Promise<number> {
  const { catalog, completeUrl, places } = world;
  const { url } = (await findShard(catalog, name))!;
  const newUrl = places.find((place) => new URL(place).port !== new URL(completeUrl(url)).port)!;
  const { fenced_ms } = await moveShard({
    catalog,
    completeUrl,
    connect: (at) => connectDatabase(at, { maxConnections: 4 }),
    shard: name,
    newUrl,
    check: "full",
    waitMs: 5_000,
    signal: new AbortController().signal,
  });
  return fenced_ms;
}

/** Makes a repo for each client, the shards in turn. */
async function makeRepos({ catalog, catalogUrl, names }: World, count: number): Promise<void> {
  await using pools = new ShardPools({ catalog, catalogUrl, maxConnections: 8 });
  for (let i = 0; i < count; i++) {
    const shard = names[i % names.length];
    await createPlacedRepo(pools, { owner: "ann", slug: `r${i}` }, {
      shard,
      defaults: { owner: {}, repo: {} },
    });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
