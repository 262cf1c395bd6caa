import assert from "node:assert/strict";
import {
  digestOf,
  isDigest,
  isMpackKey,
  isObjectId,
  isSameId,
  withPrefix,
} from "../../src/lib/ids.ts";

const DIGITS = "0123456789abcdef".repeat(4);

Deno.test("ids.ts accepts 64 lower-case hex digits, and the prefix where it may be", () => {
  const accepted = (text: string) => [isMpackKey(text), isObjectId(text), isDigest(text)];
  assert.deepEqual(accepted(`sha256:${DIGITS}`), [true, true, false]);
  assert.deepEqual(accepted(DIGITS), [false, true, true]);
  const wrong = [
    DIGITS.slice(1),
    `${DIGITS}0`,
    DIGITS.toUpperCase(),
    `${DIGITS}\n`,
    `sha512:${DIGITS}`,
  ];
  for (const text of wrong) {
    assert.deepEqual(accepted(text), [false, false, false], text);
    assert.deepEqual(accepted(`sha256:${text}`), [false, false, false], text);
  }
});

Deno.test("ids.ts adds, removes and ignores the prefix", () => {
  for (const id of [DIGITS, `sha256:${DIGITS}`]) {
    assert.equal(withPrefix(id), `sha256:${DIGITS}`);
    assert.equal(digestOf(id), DIGITS);
    assert.ok(isSameId(id, DIGITS) && isSameId(DIGITS, id));
  }
  assert.ok(!isSameId(DIGITS, DIGITS.replace("0", "1")));
});
