import assert from "node:assert/strict";
import { ColumnBuilder } from "../../../src/stream/mpack/column_builder.ts";

Deno.test("take() without rows returns columns that later rows do not change", () => {
  const builder = new ColumnBuilder(true), id = new TextEncoder().encode("a".repeat(64));
  const none = builder.take();
  builder.push(id, 0, id.length, 5, 7);
  assert.deepEqual(none, { length: 0, idsText: "", contentOffsets: [], sizesBytes: [] });
  assert.deepEqual(builder.take().contentOffsets, [5]);
});
