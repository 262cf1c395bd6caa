import assert from "node:assert/strict";
import { trimEndOf, trimOf } from "../../src/lib/text/trim.ts";

Deno.test("trimEndOf() and trimOf() cut characters off the ends only", () => {
  assert.equal(trimEndOf("/a//b//", "/"), "/a//b");
  assert.equal(trimOf("//a//b//", "/"), "a//b");
  assert.equal(trimEndOf("con. .", ". "), "con");
  for (const text of ["", "/", "//"]) assert.equal(trimOf(text, "/"), "");
});
