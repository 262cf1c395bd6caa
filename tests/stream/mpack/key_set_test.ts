import assert from "node:assert/strict";
import { KeySet } from "../../../src/stream/mpack/key_set.ts";

Deno.test("KeySet.add() says whether a key is new", () => {
  const keys = new KeySet();
  assert.ok(keys.add(1, 2));
  assert.ok(keys.add(2, 1));
  assert.ok(!keys.add(1, 2));
  assert.equal(keys.size, 2);
});

Deno.test("KeySet stores the hash 0, which marks a free slot", () => {
  const keys = new KeySet();
  assert.ok(keys.add(0, 0));
  assert.ok(!keys.add(0, 0));
  assert.ok(keys.add(0, -1));
  assert.deepEqual(keys.size, 2);
});

Deno.test("KeySet keeps every key while it grows, even if all hash to one slot", () => {
  const keys = new KeySet();
  for (let i = 0; i < 2000; i++) assert.ok(keys.add(i << 20, 7));
  for (let i = 0; i < 2000; i++) assert.ok(!keys.add(i << 20, 7));
  assert.equal(keys.size, 2000);
});

Deno.test("KeySet.clear() removes all keys, few or many", () => {
  for (const count of [1, 40, 5000]) {
    const keys = new KeySet();
    for (let i = 1; i <= count; i++) keys.add(i, i);
    keys.clear();
    assert.equal(keys.size, 0);
    for (let i = 1; i <= count; i++) assert.ok(keys.add(i, i));
  }
});

Deno.test("KeySet.load() restores what save() returned", () => {
  const keys = new KeySet(), loaded = new KeySet();
  for (let i = 0; i < 100; i++) keys.add(Math.imul(i, 0x9e3779b1), i - 50);
  loaded.load(JSON.parse(JSON.stringify(keys.save())));
  assert.equal(loaded.size, 100);
  for (let i = 0; i < 100; i++) assert.ok(!loaded.add(Math.imul(i, 0x9e3779b1), i - 50));
});
