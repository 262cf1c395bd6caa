import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import {
  applyDelta,
  mergeEntries,
  sortEntries,
} from "../../../src/stream/mpack/history/manifest_bytes.ts";
import { recordHasher } from "../../../src/hash/record_hash.ts";
import { MpackDecoder } from "../../../src/stream/mpack/mpack_decoder.ts";
import { generator } from "../../support/attack/random.ts";
import { snapshotIdOf } from "../../support/history/records.ts";
import { buildMpack, cut, map } from "../../support/mpack/mpacks.ts";

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
      sortEntries(bytes, 0, bytes.length);
      assert.ok(entriesOf(paths.toSorted(byBytes)).equals(bytes));
      // The same by two runs, behind what is left alone.
      const before = entriesOf(["z"]), half = entriesOf(paths.slice(paths.length / 2)).length;
      const both = Buffer.concat([before, entriesOf(paths)]), middle = both.length - half;
      sortEntries(both, before.length, middle);
      sortEntries(both, middle, both.length);
      mergeEntries(both, before.length, middle, both.length);
      assert.ok(Buffer.concat([before, bytes]).equals(both));
    }),
    { numRuns: 200 },
  );
});

Deno.test("MpackDecoder sorts a manifest of several MiB, wherever it leaves the order", () => {
  const random = generator(1),
    paths = Array.from({ length: 40_000 }, (_, i) => `${i}`.padStart(99));
  const orders = [
    paths.toSorted(() => random.below(3) - 1),
    paths.toReversed(),
    [...paths.slice(1), paths[0]],
    [...paths.slice(20_000), ...paths.slice(0, 20_000)],
  ];
  const snapshotId = snapshotIdOf(Object.fromEntries(paths.map((path) => [path, HEX])));
  for (const order of orders) {
    const manifest = map(order.map((path) => [path, HEX]));
    const pack = buildMpack({ snapshots: [{ snapshot_id: snapshotId, manifest }] });
    let kept: Uint8Array | undefined;
    const decoder = new MpackDecoder({
      history: recordHasher,
      hooks: { snapshot: (_, entries) => kept = entries?.slice() },
    });
    for (const chunk of cut(pack, 100_000)) decoder.write(chunk);
    decoder.end();
    assert.ok(entriesOf(paths).equals(kept!));
  }
});

Deno.test("sortEntries() takes paths with one long beginning, sorted or the wrong way round", () => {
  const paths = Array.from({ length: 5_000 }, (_, i) => `${"deep/".repeat(200)}${i}`);
  for (const order of [paths.toSorted(byBytes), paths.toSorted(byBytes).reverse(), paths]) {
    const bytes = entriesOf(order);
    sortEntries(bytes, 0, bytes.length);
    assert.ok(entriesOf(paths.toSorted(byBytes)).equals(bytes));
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
