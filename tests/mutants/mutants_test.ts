import assert from "node:assert/strict";
import { MUTANTS } from "./faults.ts";
import { putFault } from "./locate.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("every fault of `deno task mutants` can be made, and has tests to notice it", async (t) => {
  assert.ok(MUTANTS.length >= 10);
  for (const mutant of MUTANTS) {
    await t.step(mutant.name, async () => {
      const text = await Deno.readTextFile(new URL(mutant.file, ROOT));
      assert.notEqual(putFault(text, mutant), text);
      for (const path of mutant.tests) await Deno.stat(new URL(path, ROOT));
    });
  }
});

Deno.test("putFault() finds a place by its symbol, however the code is formatted", () => {
  const text = `class One {
  /** Says so. */
  twice(n: number): number {
    // once
    return n +
      n;
  }

  once(n: number): number {
    twice(n);
    return n + n;
  }
}
`;
  const place = { file: "one.ts", from: "n + n", to: "2 * n" };
  assert.equal(
    putFault(text, { ...place, within: "twice" }),
    text.replace("n +\n      n", "2 * n"),
  );
  assert.equal(putFault(text, { ...place, within: "once" }), text.replace("n + n", "2 * n"));
  assert.equal(putFault(text, { ...place, everywhere: true }).includes("n +"), false);
  assert.throws(() => putFault(text, place), /2 times/);
  assert.throws(() => putFault(text, { ...place, within: "never" }), /has never 0 times/);
  const sql = "-- 1. One\nselect a;\n-- 2. Two\nselect a;\n";
  const step = { file: "one.sql", within: "2", from: "select  a", to: "select b" };
  assert.equal(putFault(sql, step), sql.replace(/a;\n$/, "b;\n"));
});
