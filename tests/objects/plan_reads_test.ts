import assert from "node:assert/strict";
import type { ObjectLocation } from "../../src/db/refs.ts";
import { planReads, stretchesOf } from "../../src/objects/plan_reads.ts";

const location = (
  objectId: string,
  contentOffset: number,
  sizeBytes: number,
  blob = "a",
): ObjectLocation => ({
  objectId,
  mpackKey: blob,
  blobKey: blob,
  etag: "1",
  contentOffset,
  sizeBytes,
  encoding: null,
  damagedAt: null,
});

/** The plan as text: `batch = objects <- runs`. */
function plan(locations: ObjectLocation[], order: "asked" | "stored", options = {}): string[] {
  const batches = planReads(locations, { order, maxGapBytes: 10, maxBatchBytes: 100, ...options });
  return batches.map(({ objects, runs, isBuffered }) => {
    const ids = (list: readonly ObjectLocation[]) => list.map(({ objectId }) => objectId).join("");
    return `${isBuffered ? "buffer" : "stream"} ${ids(objects)} <- ${runs.map(ids).join(",")}`;
  });
}

Deno.test("planReads() merges neighbours, and keeps the order asked for", async (t) => {
  const a = location("A", 0, 20), b = location("B", 25, 20), c = location("C", 56, 20);
  await t.step("by place where that is asked", () => {
    assert.deepEqual(plan([c, a, b], "stored"), ["buffer AB <- AB", "buffer C <- C"]);
  });
  await t.step("in the order asked", () => {
    assert.deepEqual(plan([c, b, a], "asked"), ["buffer CBA <- AB,C"]);
  });
  await t.step("not over a wider gap, and over any that is allowed", () => {
    assert.deepEqual(plan([a, b, c], "stored", { maxGapBytes: 4 }).length, 3);
    assert.deepEqual(plan([a, b, c], "stored", { maxGapBytes: 11 }), ["buffer ABC <- ABC"]);
  });
  await t.step("never two blobs, nor two versions of one", () => {
    const other = location("D", 45, 5, "b"), newer = { ...location("E", 45, 5), etag: "2" };
    assert.deepEqual(plan([a, other], "stored"), ["buffer A <- A", "buffer D <- D"]);
    assert.deepEqual(plan([b, newer], "stored"), ["buffer B <- B", "buffer E <- E"]);
  });
  await t.step("what overlaps is read twice", () => {
    assert.deepEqual(plan([a, location("F", 10, 20)], "asked"), ["buffer AF <- A,F"]);
  });
});

Deno.test("planReads() buffers no more than memory may hold", async (t) => {
  const a = location("A", 0, 60), b = location("B", 60, 60), large = location("L", 120, 101);
  await t.step("in the order asked", () => {
    assert.deepEqual(plan([b, a], "asked"), ["buffer B <- B", "buffer A <- A"]);
    assert.deepEqual(plan([b, large, a], "asked"), [
      "buffer B <- B",
      "stream L <- L",
      "buffer A <- A",
    ]);
  });
  await t.step("by place: what is longer is cut, if so asked", () => {
    const sizes = [40, 40, 40, 150, 10];
    let at = 0;
    const run = sizes.map((size, i) => location("ABCDE"[i], (at += size) - size, size));
    assert.deepEqual(plan(run, "stored", { maxRunBytes: 100 }), [
      "buffer AB <- AB",
      "buffer C <- C",
      "stream D <- D",
      "buffer E <- E",
    ]);
  });
  await t.step("by place: what is longer is one stream", () => {
    assert.deepEqual(plan([large, b, a], "stored"), ["stream ABL <- ABL"]);
  });
});

Deno.test("planReads() asks for an object once however often it is wanted, and never for nothing", () => {
  const a = location("A", 0, 20), empty = location("0", 20, 0);
  assert.deepEqual(plan([a, empty, a], "asked"), ["buffer A0A <- A"]);
  assert.deepEqual(plan([empty], "asked"), ["buffer 0 <- "]);
  assert.deepEqual(plan([a, empty], "stored"), ["buffer 0 <- ", "buffer A <- A"]);
  assert.deepEqual(plan([], "stored"), []);
});

Deno.test("stretchesOf() finds runs where the order asked is that of the bytes", async (t) => {
  const row = [..."ABCDEFGHIJ"].map((id, i) => location(id, 25 * i, 20));
  const cut = (locations: readonly ObjectLocation[], options = {}) =>
    stretchesOf(locations, { maxGapBytes: 10, ...options }).map(({ objects, isRun }) =>
      (isRun ? "run " : "others ") + objects.map(({ objectId }) => objectId).join("")
    );
  await t.step("one run, or several of the length that is allowed", () => {
    assert.deepEqual(cut(row), ["run ABCDEFGHIJ"]);
    assert.deepEqual(cut(row, { maxRunBytes: 100 }), ["run ABCDE", "run FGHIJ"]);
  });
  await t.step("what lies elsewhere is among others, and so is a short run", () => {
    const far = location("X", 9_000, 5), [a, b, ...rest] = row;
    assert.deepEqual(cut([far, ...row]), ["others X", "run ABCDEFGHIJ"]);
    assert.deepEqual(cut([a, b, far, ...rest]), ["others ABX", "run CDEFGHIJ"]);
    assert.deepEqual(cut(row.toReversed()), ["others JIHGFEDCBA"]);
  });
  await t.step("an empty or encoded content ends a run", () => {
    const empty = location("0", 500, 0), encoded = { ...location("Z", 250, 20), encoding: "zstd" };
    assert.deepEqual(cut([...row, empty, encoded]), ["run ABCDEFGHIJ", "others 0Z"]);
  });
  await t.step("nothing", () => assert.deepEqual(cut([]), []));
});
