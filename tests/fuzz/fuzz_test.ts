import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { check } from "./check.ts";
import { readCase, writeCase } from "./files.ts";
import { fuzz } from "./run.ts";
import { FINDS, ownCorpus } from "./main.ts";
import { decodeMpack } from "../support/mpack/decode.ts";

Deno.test("fuzz() finds nothing in a short run", () => {
  const report = fuzz({ seed: 20_260, corpus: ownCorpus(), isOver: (runs) => runs >= 4000 });
  assert.equal(report.find?.problem, undefined);
  assert.equal(report.executions, 4000);
  assert.ok(report.features > 200, `${report.features} behaviours`);
});

Deno.test("fuzz() does the same for the same seed", () => {
  const options = { seed: 5, corpus: ownCorpus(), isOver: (runs: number) => runs >= 500 };
  assert.deepEqual(fuzz(options), fuzz(options));
});

Deno.test("fuzz() finds a fault in a decoder, and makes its pack small", async (t) => {
  const faults: Record<string, typeof decodeMpack> = {
    "trailing bytes pass": (bytes, options) => {
      const verdict = decodeMpack(bytes, options);
      if (verdict.accepted || verdict.code !== "trailing-bytes") return verdict;
      return decodeMpack(bytes.subarray(0, verdict.offsetBytes), options);
    },
    "the offset of an empty content is off by one": (bytes, options) => {
      const verdict = decodeMpack(bytes, options);
      if (!verdict.accepted) return verdict;
      const rows = verdict.rows.map((row) =>
        row.sizeBytes === 0 ? { ...row, contentOffset: row.contentOffset + 1 } : row
      );
      return { ...verdict, rows };
    },
    "it throws something else": (bytes, options) => {
      const verdict = decodeMpack(bytes, options);
      if (!verdict.accepted && verdict.code === "duplicate-key") throw new TypeError("oops");
      return verdict;
    },
  };
  for (const [name, decode] of Object.entries(faults)) {
    await t.step(name, () => {
      const isOver = (runs: number) => runs >= 5000;
      const { find } = fuzz({ seed: 1, corpus: ownCorpus(), isOver, decode });
      assert.ok(find);
      assert.ok(find.input.bytes.length < 400, `${find.input.bytes.length} bytes`);
      assert.ok(check(find.input, decode).problem !== undefined);
      assert.equal(check(find.input).problem, undefined);
    });
  }
});

Deno.test("writeCase() and readCase() keep a failure as it was", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const bytes = Uint8Array.of(1, 2, 3);
    const input = { bytes, chunkBytes: 2, resumeEvery: 1, limits: { maxDepth: 4 }, history: true };
    assert.deepEqual(readCase(writeCase(folder, input, "odd")), input);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("what the fuzzer found once stays mended", async (t) => {
  const names = existsSync(FINDS) ? [...Deno.readDirSync(FINDS)].map(({ name }) => name) : [];
  for (const name of names.filter((name) => name.endsWith(".json"))) {
    await t.step(name, () => assert.equal(check(readCase(`${FINDS}/${name}`)).problem, undefined));
  }
});
