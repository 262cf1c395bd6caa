import assert from "node:assert/strict";
import { plan } from "../../scripts/plan.ts";
import { COSTS, type Server, TARGET_USE } from "../../scripts/plan/constants.ts";
import { makeRepos, randomOf } from "../../scripts/plan/repos.ts";
import { type Load, simulate } from "../../scripts/plan/simulate.ts";

const SERVER: Server = {
  cores: 16,
  memoryBytes: 128e9,
  diskBytes: 4e12,
  diskReadsPerSecond: 50_000,
  walBytesPerSecond: 400e6,
  connections: 2_000,
};
const LOAD: Load = {
  objects: 2e10,
  pushesPerSecond: 500,
  objectsPerPush: 20,
  objectBytes: 2_000,
  readsPerSecond: 5_000,
  repos: 4e6,
  alpha: 1.1,
};
const LAYOUT = { shardsPerServer: 16, isMoving: true };

Deno.test("makeRepos() divides all objects and pushes among repos", () => {
  for (const repos of [1, 500, 4e6]) {
    const made = makeRepos({ repos, objects: 1e9, alpha: 1.1, random: randomOf(1) });
    const sum = (of: "repos" | "objects" | "pushShare") =>
      made.reduce((total, group) => total + group[of], 0);
    assert.ok(Math.abs(sum("repos") - repos) < 1e-6 * repos);
    assert.ok(Math.abs(sum("objects") / 1e9 - 1) < 1e-6);
    assert.ok(Math.abs(sum("pushShare") - 1) < 1e-6);
  }
});

Deno.test("plan() finds the fewest servers: with one less something gives out", () => {
  const found = plan(LOAD, SERVER, LAYOUT), { servers, outcome } = found;
  assert.ok(found.isEnough && outcome.first === undefined);
  assert.ok(Object.values(outcome.use).every((part) => part <= TARGET_USE));
  // All of it on the disks, evenly, would be the least.
  const least = LOAD.objects * COSTS.objectDiskBytes / (TARGET_USE * SERVER.diskBytes);
  assert.ok(servers >= least && servers < 2 * least, `${servers} servers`);
  const fewer = { ...LAYOUT, servers: servers - 1 };
  assert.ok([1, 2, 3].some((seed) => simulate(LOAD, SERVER, fewer, seed).first !== undefined));
  assert.deepEqual(plan(LOAD, SERVER, LAYOUT), found);
});

Deno.test("plan() says what gives out first", () => {
  const withLess = (server: Partial<Server>, load: Partial<Load> = {}) => {
    const { outcome } = plan({ ...LOAD, ...load }, { ...SERVER, ...server }, LAYOUT);
    return outcome.first?.resource;
  };
  // The catalog is one server, and a repo is on one shard: more servers cure neither.
  assert.equal(withLess({ cores: 0.01 }), "catalog");
  assert.equal(withLess({}, { repos: 1 }), "disk");
  const alone = simulate(LOAD, { ...SERVER, diskBytes: 1e15 }, { ...LAYOUT, servers: 1 }, 1);
  assert.equal(alone.first, undefined);
  const slow = { ...SERVER, diskBytes: 1e15, diskReadsPerSecond: 1_000 };
  const { first, indexInMemory } = simulate(LOAD, slow, { ...LAYOUT, servers: 1 }, 1);
  assert.equal(first?.resource, "disk_reads");
  assert.ok(indexInMemory > 1 && first.objects < LOAD.objects);
});

Deno.test("moves keep servers alike where repos are not", () => {
  const layout = { servers: 8, shardsPerServer: 16 };
  const still = simulate(LOAD, SERVER, { ...layout, isMoving: false }, 1);
  const moved = simulate(LOAD, SERVER, { ...layout, isMoving: true }, 1);
  assert.equal(still.moves, 0);
  assert.ok(moved.moves > 0 && moved.skew < still.skew);
});
