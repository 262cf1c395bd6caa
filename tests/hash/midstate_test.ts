import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { ResumableCore } from "../../src/hash/core.ts";
import { openHashWasm } from "../../src/hash/hash_wasm.ts";
import { checkKnownAnswers } from "../../src/hash/known_answers.ts";
import { decodeMidstate, encodeMidstate, START } from "../../src/hash/midstate.ts";
import { openSimd } from "../../src/hash/simd.ts";
import { openCore } from "../../src/hash/engine.ts";
import { openLibcrypto } from "../../src/hash/libcrypto.ts";
import { LIBCRYPTO } from "../support/hash/libcrypto.ts";
import { referenceSha256, wordsAfter } from "../support/hash/reference_sha256.ts";

const BYTES = Uint8Array.from({ length: 1_000 }, (_, i) => (i * 7919) >>> 3);

const DIGEST = createHash("sha256").update(BYTES).digest("hex");
/** `native` can save and load with libcrypto only. */
const ENGINES = ["wasm", "simd", ...LIBCRYPTO === undefined ? [] : ["native"] as const] as const;
const how = { libcrypto: LIBCRYPTO };

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

Deno.test("openCore() saves and loads the state of FIPS 180-4 after any number of bytes", async (t) => {
  for (const engine of ENGINES) {
    await t.step(engine, async () => {
      for (let length = 0; length <= 200; length++) {
        const bytes = BYTES.subarray(0, length), midstate = referenceMidstate(bytes);
        const saving = await openCore(engine, how);
        saving.update(bytes);
        assert.deepEqual(saving.save(), midstate, `${length} bytes`);
        const loading = await openCore(engine, { ...how, state: midstate });
        loading.update(BYTES.subarray(length));
        assert.equal(loading.digest(), DIGEST);
      }
    });
  }
});

Deno.test("every engine continues from every other's state, saved at random places", async () => {
  const cores: Record<string, ResumableCore> = { wasm: await openHashWasm(), simd: openSimd() };
  if (LIBCRYPTO !== undefined) cores.native = openLibcrypto(LIBCRYPTO);
  const parts = fc.array(fc.tuple(fc.nat(BYTES.length), fc.constantFrom(...ENGINES)), {
    maxLength: 6,
  });
  fc.assert(
    fc.property(parts, fc.constantFrom(...ENGINES), (parts, last) => {
      parts.sort(([a], [b]) => a - b);
      let state: Uint8Array = encodeMidstate(START), at = 0;
      for (const [cut, engine] of [...parts, [BYTES.length, last] as const]) {
        const core = cores[engine];
        core.load(state);
        core.update(BYTES.subarray(at, cut));
        at = cut;
        state = core.save();
        assert.deepEqual(state, referenceMidstate(BYTES.subarray(0, at)));
      }
      assert.equal(cores[last].digest(), DIGEST);
    }),
    { numRuns: 300 },
  );
});

Deno.test("every engine hashes a million times the letter a as NIST's example says", async () => {
  const letters = new TextEncoder().encode("a".repeat(1_000_000));
  for (const engine of ENGINES) {
    const core = await openCore(engine, how);
    core.update(letters);
    assert.equal(
      core.digest(),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    );
  }
});

Deno.test("openSimd() hashes random bytes in random parts as two oracles do", async () => {
  const simd = await openSimd(), wasm = await openHashWasm(), start = encodeMidstate(START);
  const long = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 2654435761) >>> 11);
  const parts = fc.array(fc.oneof(fc.nat(200), fc.nat(100_000)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.nat(1_000), parts, (from, parts) => {
      const native = createHash("sha256");
      simd.load(start);
      wasm.load(start);
      let at = from;
      for (const part of parts) {
        const bytes = long.subarray(at, at += part);
        for (const core of [simd, wasm, native]) core.update(bytes);
      }
      const hex = native.digest("hex");
      assert.deepEqual([simd.digest(), wasm.digest()], [hex, hex]);
    }),
    { numRuns: 2_000 },
  );
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
