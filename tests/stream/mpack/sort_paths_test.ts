import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { applyDelta, sortEntries } from "../../../src/stream/mpack/history/manifest_bytes.ts";

const HEX = "ab".repeat(32);
const entriesOf = (paths: readonly string[]) =>
  Buffer.from(paths.map((path) => `${path}\0${HEX}\0`).join(""));
const byBytes = (one: string, other: string) =>
  Buffer.compare(Buffer.from(one), Buffer.from(other));

Deno.test("sortEntries() sorts by the bytes of paths", () => {
  const part = fc.constantFrom(
    "a",
    "ab",
    "abc",
    "abcd",
    "b",
    "/",
    ".",
    "é",
    "\u{ff61}",
    "\u{1f600}",
  );
  const path = fc.array(part, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.uniqueArray(path, { maxLength: 300, size: "max" }), (paths) => {
      const bytes = entriesOf(paths);
      const sorted = sortEntries(bytes, bytes.length, paths.length);
      assert.ok(entriesOf(paths.toSorted(byBytes)).equals(sorted));
    }),
    { numRuns: 200 },
  );
});

Deno.test("sortEntries() takes paths with one long beginning, sorted or the wrong way round", () => {
  const paths = Array.from({ length: 5_000 }, (_, i) => `${"deep/".repeat(200)}${i}`);
  for (const order of [paths.toSorted(byBytes), paths.toSorted(byBytes).reverse(), paths]) {
    const bytes = entriesOf(order);
    const sorted = sortEntries(bytes, bytes.length, order.length);
    assert.ok(entriesOf(paths.toSorted(byBytes)).equals(sorted));
  }
});

Deno.test("applyDelta() takes away first, then adds", () => {
  const applied = (base: string[], added: string[], removed: string[]) => {
    const { bytes, entries } = applyDelta(entriesOf(base), entriesOf(added), removed);
    const paths = Buffer.from(bytes).toString().split("\0").filter((_, i) => i % 2 === 0);
    assert.equal(entries, paths.length - 1);
    return paths.slice(0, -1).join();
  };
  assert.equal(applied(["a", "b", "c"], ["b", "d"], ["a", "b", "x"]), "b,c,d");
  assert.equal(applied([], ["a"], ["a"]), "a");
  assert.equal(applied(["a", "a/b", "ab"], [], ["ab", "a"]), "a/b");
  assert.equal(applied(["a"], [], ["a"]), "");
  assert.equal(applied([], [], []), "");
});
