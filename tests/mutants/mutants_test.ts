import assert from "node:assert/strict";
import { MUTANTS } from "./faults.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("every fault of `deno task mutants` can be made, and has tests to notice it", async (t) => {
  assert.ok(MUTANTS.length >= 10);
  for (const { name, file, from, to, tests } of MUTANTS) {
    await t.step(name, async () => {
      const text = await Deno.readTextFile(new URL(file, ROOT));
      assert.equal(text.split(from).length - 1, 1, `${file} must have its text once`);
      assert.notEqual(from, to);
      for (const path of tests) await Deno.stat(new URL(path, ROOT));
    });
  }
});
