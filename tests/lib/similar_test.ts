import assert from "node:assert/strict";
import { mostSimilar } from "../../src/lib/similar.ts";

const NAMES = ["MPACK_CONCURRENCY", "MPACK_HTTP_PORT", "MPACK_HTTP_HOST", "visibility", "name"];

Deno.test("mostSimilar() finds what was meant, and nothing where nothing is like it", () => {
  const cases: [given: string, meant: string | undefined][] = [
    ["MPACK_CONCURENCY", "MPACK_CONCURRENCY"],
    ["MPACK_HTTP_PROT", "MPACK_HTTP_PORT"],
    ["MPACK_HTTP_HOSTS", "MPACK_HTTP_HOST"],
    ["visiblity", "visibility"],
    ["nmae", "name"],
    ["other", undefined],
    ["", undefined],
  ];
  for (const [given, meant] of cases) assert.equal(mostSimilar(given, NAMES), meant, given);
});
