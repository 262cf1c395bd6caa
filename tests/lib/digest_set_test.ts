import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { DigestSet } from "../../src/lib/digest_set.ts";

const UTF8 = new TextEncoder();
const idOf = (i: number) =>
  (i % 2 ? "sha256:" : "") + createHash("sha256").update(`${i}`).digest("hex");

Deno.test("DigestSet keeps each id once, as it was spelt", () => {
  const ids = Array.from({ length: 3_000 }, (_, i) => idOf(i)), set = new DigestSet();
  for (const id of [...ids, ...ids]) set.addText(id);
  assert.equal(set.size, ids.length);
  assert.deepEqual([...set.ids()].sort(), ids.toSorted());
  assert(!set.hasText(idOf(3_000)));
  // The same digest in the other spelling is another id.
  assert(!set.hasText("sha256:" + idOf(0)));
  const text = UTF8.encode(`...${ids[7]}...`);
  assert(set.has(text, 3, 3 + ids[7].length));
});

Deno.test("DigestSet refuses what is not 64 lower-case hex digits", () => {
  const set = new DigestSet(), good = UTF8.encode(idOf(0));
  for (const length of [0, 63, 65, 70, 72]) {
    assert.throws(() => set.add(new Uint8Array(100).fill(0x61), 10, 10 + length), RangeError);
  }
  for (let at = 0; at < 64; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const bytes = good.slice(), isDigit = /[0-9a-f]/.test(String.fromCharCode(byte));
      bytes[at] = byte;
      if (isDigit) set.has(bytes, 0, 64);
      else assert.throws(() => set.has(bytes, 0, 64), RangeError, `byte ${byte} at ${at}`);
    }
  }
});
