import assert from "node:assert/strict";
import { entryOf, maliciousCases, type MaliciousEntry } from "./make_malicious.ts";
import { decodeMpack } from "../support/mpack/decode.ts";
import { readWhole } from "../support/mpack/whole_document.ts";

const FOLDER = new URL("malicious/", import.meta.url);
const INDEX: MaliciousEntry[] = JSON.parse(Deno.readTextFileSync(new URL("index.json", FOLDER)));

Deno.test("every malicious pack gets its verdict, however it is cut", async (t) => {
  for (const { file, code, offset_bytes: offsetBytes, limits, history } of INDEX) {
    await t.step(`${file}: ${code ?? "valid"}`, () => {
      const bytes = Deno.readFileSync(new URL(file, FOLDER));
      const verdict = readWhole(bytes, limits, { history });
      if (code === null) assert.ok(verdict.accepted, JSON.stringify(verdict));
      else assert.deepEqual(verdict, { accepted: false, code, offsetBytes });
      for (const chunkBytes of [1, 2, 3, 5, 64, 1000, bytes.length + 1]) {
        assert.deepEqual(decodeMpack(bytes, { chunkBytes, limits, history }), verdict);
      }
      // A state costs as much as there is depth: not after every byte of 50,000.
      let calls = 0;
      const resume = () => ++calls % 50 === 1;
      assert.deepEqual(decodeMpack(bytes, { chunkBytes: 2, limits, history, resume }), verdict);
    });
  }
});

Deno.test("the malicious packs are what the generator makes, and all small", () => {
  const cases = maliciousCases();
  assert.deepEqual(INDEX, JSON.parse(JSON.stringify(cases.map(entryOf))));
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name);
  const mpacks = files.filter((name) => name.endsWith(".mpack")).sort();
  assert.deepEqual(mpacks, cases.map(({ name }) => `${name}.mpack`).sort());
  for (const { name, bytes } of cases) {
    assert.deepEqual(Deno.readFileSync(new URL(`${name}.mpack`, FOLDER)), bytes, name);
    assert.ok(bytes.length <= 65_536, name);
  }
});

Deno.test("the malicious packs show every code that the format knows", () => {
  const codes = new Set(INDEX.map(({ code }) => code));
  const all = ["truncated", "trailing-bytes", "malformed-msgpack", "unexpected-shape"]
    .concat(
      "duplicate-key",
      "bad-object-id",
      "bad-content",
      "unsupported-encoding",
      "limit-exceeded",
    )
    .concat("false-id", "bad-record-id", "bad-text", "bad-path");
  for (const code of [...all, null]) assert.ok(codes.has(code), `${code}`);
});
