import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import { chooseEngine } from "../../src/hash/choose_engine.ts";
import { openLibcrypto } from "../../src/hash/libcrypto.ts";
import { LIBCRYPTO } from "../support/hash/libcrypto.ts";

const ignore = LIBCRYPTO === undefined;

Deno.test("openLibcrypto() says what is wrong with a library", async (t) => {
  const refused = (path: string, why: RegExp) =>
    assert.throws(() => openLibcrypto(path), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /^Cannot hash with libcrypto \(MPACK_LIBCRYPTO\): /);
      assert.match(error.message, why);
      return true;
    });
  await t.step("that is not there", () => refused("/no/such/library.so", /library\.so/));
  await t.step("that lacks the calls", () => refused("libc.so.6", /SHA256_(Init|Update|Final)/));
});

Deno.test({
  name: "openLibcrypto() names the permission that it needs",
  permissions: { ffi: false, read: true },
  fn: () => {
    const path = "/usr/lib/libcrypto-forbidden.so.3";
    assert.throws(() => openLibcrypto(path), {
      message: `Cannot hash with libcrypto (MPACK_LIBCRYPTO): it needs --allow-ffi=${path}`,
    });
  },
});

Deno.test({
  name: "openLibcrypto() counts on after more bytes than 32 bits can count",
  ignore,
  fn: () => {
    const core = openLibcrypto(LIBCRYPTO!), gibibyte = new Uint8Array(1024 ** 2);
    const view = new DataView(core.save().buffer);
    // The length in the state, as if 8 GiB had been hashed.
    view.setBigUint64(32, 8n * 1024n ** 3n);
    core.load(new Uint8Array(view.buffer));
    core.update(gibibyte);
    assert.equal(new DataView(core.save().buffer).getBigUint64(32), 8n * 1024n ** 3n + 1024n ** 2n);
  },
});

Deno.test("chooseEngine() obeys the setting, and auto the length and what is permitted", () => {
  const GIB = 1024 ** 3;
  const auto = { hash: "auto", isResumed: false } as const;
  assert.equal(chooseEngine({ ...auto, hash: "wasm", restBytes: 1 }), "wasm");
  assert.equal(chooseEngine({ ...auto, restBytes: GIB }), "native");
  assert.equal(chooseEngine({ ...auto, restBytes: GIB + 1 }), "simd");
  // Its midstate came from an engine that can save it, and must be loaded.
  assert.equal(chooseEngine({ ...auto, restBytes: 1, isResumed: true }), "simd");
  assert.equal(chooseEngine({ ...auto, restBytes: 0 }), "simd");
  assert.equal(
    chooseEngine({ ...auto, restBytes: 9 * GIB, isResumed: true, libcrypto: "/lib" }),
    "native",
  );
});
