import assert from "node:assert/strict";
import { Slots, type SlotShare } from "../../../src/jobs/worker/slots.ts";

/** Takes all free places for a worker, and starts jobs in them. */
function fill(share: SlotShare, places: number): void {
  share.reserve(places);
  for (let i = 0; i < places; i++) assert(share.start());
}

Deno.test("Slots gives a free place to the worker that waits and has the fewest", () => {
  const slots = new Slots(4);
  const given: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => slots.share(() => given.push(name)));
  fill(a, 3);
  fill(b, 1);
  assert.equal(a.start(), false);
  for (const share of [a, b, c]) share.wait();
  a.end();
  assert.deepEqual(given, ["c"]);
  assert(c.start());
  c.wait();
  b.end();
  assert.deepEqual(given, ["c", "b"], "b has none now");
  assert(b.start());
  a.end();
  assert.deepEqual(given, ["c", "b", "a"], "each has one: a has waited longest");
  assert.equal(slots.free, 0);
});

Deno.test("Slots passes on places that were reserved and not used", () => {
  const slots = new Slots(2);
  let woken = 0;
  const a = slots.share(() => {}), b = slots.share(() => woken++);
  a.reserve(5);
  assert.deepEqual([a.available, b.available], [2, 0]);
  b.wait();
  assert(a.start());
  a.giveBack();
  assert.deepEqual([woken, a.available, b.available], [1, 0, 1]);
  b.giveBack();
  assert.equal(slots.free, 1);
});

Deno.test("Slots takes back what a claim without an answer has reserved, once somebody waits", async () => {
  const slots = new Slots(2);
  const given = Promise.withResolvers<void>();
  const dead = slots.share(() => {}), b = slots.share(given.resolve);
  dead.reserve(2);
  b.wait();
  await given.promise;
  assert.deepEqual([dead.available, b.available], [1, 2]);
  // The claim is answered after all: its jobs take what is free.
  assert(b.start());
  assert(dead.start());
  assert.equal(dead.start(), false);
});

Deno.test("Slots tells a worker its part of the places by how many want some", () => {
  const slots = new Slots(8);
  const a = slots.share(() => {});
  assert.equal(a.fairPart, 8);
  const b = slots.share(() => {}), c = slots.share(() => {});
  assert.equal(a.fairPart, 8, "the others want none");
  fill(b, 8);
  c.wait();
  assert.equal(a.fairPart, 3);
  c[Symbol.dispose]();
  b.end();
  assert.equal(a.fairPart, 4);
  assert.equal(slots.free, 1);
});
