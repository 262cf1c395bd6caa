import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { ResumableCore } from "../../src/hash/core.ts";
import { openHashWasm } from "../../src/hash/hash_wasm.ts";
import { checkKnownAnswers } from "../../src/hash/known_answers.ts";
import { decodeMidstate, encodeMidstate, START } from "../../src/hash/midstate.ts";
import { openCore } from "../../src/hash/engine.ts";
import { referenceSha256, wordsAfter } from "../support/hash/reference_sha256.ts";

const BYTES = Uint8Array.from({ length: 1_000 }, (_, i) => (i * 7919) >>> 3);

/** The state that FIPS 180-4 has after these bytes. */
function referenceMidstate(bytes: Uint8Array): Uint8Array {
  const tail = bytes.subarray(bytes.length - bytes.length % 64);
  return encodeMidstate({ words: wordsAfter(bytes), lengthBytes: bytes.length, tail });
}

Deno.test("the reference hashes as node:crypto does", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1_000]) {
    const bytes = BYTES.subarray(0, length);
    assert.equal(referenceSha256(bytes), createHash("sha256").update(bytes).digest("hex"));
  }
  assert.deepEqual(wordsAfter(new Uint8Array()), START.words);
});

Deno.test("openCore() saves and loads the state of FIPS 180-4 after any number of bytes", async () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = BYTES.subarray(0, length), midstate = referenceMidstate(bytes);
    const saving = await openCore("wasm");
    saving.update(bytes);
    assert.deepEqual(saving.save(), midstate, `${length} bytes`);
    const loading = await openCore("wasm", midstate);
    loading.update(BYTES.subarray(length));
    assert.equal(loading.digest(), createHash("sha256").update(BYTES).digest("hex"));
  }
});

Deno.test("openCore() continues from states saved at random places", async () => {
  const cuts = fc.array(fc.nat(BYTES.length), { maxLength: 6 });
  const core = await openHashWasm();
  await fc.assert(fc.asyncProperty(cuts, async (cuts) => {
    let state = encodeMidstate(START), at = 0;
    for (const cut of [...cuts.sort((a, b) => a - b), BYTES.length]) {
      core.load(state);
      core.update(BYTES.subarray(at, cut));
      at = cut;
      state = Uint8Array.from(core.save()!);
      assert.deepEqual(state, referenceMidstate(BYTES.subarray(0, at)));
    }
    assert.equal(await core.digest(), referenceSha256(BYTES));
  }));
});

Deno.test("decodeMidstate() restores what encodeMidstate() made, and refuses other bytes", () => {
  const midstate = referenceMidstate(BYTES.subarray(0, 100));
  assert.deepEqual(encodeMidstate(decodeMidstate(midstate)), midstate);
  const long = { ...START, lengthBytes: 64 * 2 ** 40 };
  assert.equal(decodeMidstate(encodeMidstate(long)).lengthBytes, long.lengthBytes);
  const wrong = [new Uint8Array(), midstate.subarray(1), midstate.subarray(0, 39)];
  wrong.push(Uint8Array.of(...midstate, 0), new Uint8Array(116).fill(255));
  for (const bytes of wrong) assert.throws(() => decodeMidstate(bytes), RangeError);
});

Deno.test("checkKnownAnswers() refuses an engine with one wrong answer", async () => {
  const good = await openHashWasm();
  checkKnownAnswers(good);
  assert.equal(good.digest(), referenceSha256(new Uint8Array()));
  const flipped = (bytes: Uint8Array, at: number) => bytes.map((b, i) => i === at ? b ^ 1 : b);
  const bad: Record<string, Partial<ResumableCore>> = {
    "wrong digest": { digest: () => good.digest().replace(/^./, "z") },
    "wrong saved words": { save: () => flipped(good.save(), 3) },
    "wrong loaded words": {
      load: (state) => good.load(state.length > 40 ? flipped(state, 3) : state),
    },
    "state of a byte less": { update: (bytes) => good.update(bytes.subarray(1)) },
  };
  for (const [name, change] of Object.entries(bad)) {
    const core: ResumableCore = {
      update: (bytes) => good.update(bytes),
      save: () => good.save(),
      load: (state) => good.load(state),
      digest: () => good.digest(),
      ...change,
    };
    assert.throws(() => checkKnownAnswers(core), /fails its known answers/, name);
  }
});
