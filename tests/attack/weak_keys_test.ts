import assert from "node:assert/strict";
import { createIdentity } from "../../src/db/identities.ts";
import { isSafePublicKey } from "../../src/http/auth/ed25519_point.ts";
import { identityIdOf } from "../../src/http/auth/keys.ts";
import { newSigner, readAnswer, startApi } from "../support/http/api.ts";
import { runMain } from "../support/process/main.ts";

/** Points of order 1, 2, 4 and 8, and encodings that are not canonical or not on the curve. */
const BAD = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000080",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "0200000000000000000000000000000000000000000000000000000000000000",
].map((hex) => Uint8Array.fromHex(hex));

Deno.test("isSafePublicKey() refuses keys of low order and malformed ones, and no other", async () => {
  for (const key of BAD) assert.equal(isSafePublicKey(key), false, key.toHex());
  assert.equal(isSafePublicKey(new Uint8Array(31)), false);
  for (let i = 0; i < 50; i++) assert.ok(isSafePublicKey((await newSigner()).publicKey));
});

Deno.test("identity create refuses such a key", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  for (const [i, key] of BAD.entries()) {
    // SPKI of RFC 8410.
    const der = Uint8Array.from([...Uint8Array.fromHex("302a300506032b6570032100"), ...key]);
    const pem = `-----BEGIN PUBLIC KEY-----\n${der.toBase64()}\n-----END PUBLIC KEY-----\n`;
    await Deno.writeTextFile(`${folder}/${i}.pem`, pem);
  }
  await using api = await startApi({ worker: false });
  const env = { DATABASE_URL: api.fixture.databaseUrl };
  for (const i of [0, 5, 12]) {
    const args = ["identity", "create", "ada", "--public-key", `${folder}/${i}.pem`];
    const { code, stderr } = await runMain(args, env);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /low order|not an Ed25519 key/);
  }
  const through = ["sh", "-c", `"$@" < ${folder}/0.pem`, "sh"];
  const piped = await runMain(["identity", "create", "ada", "--public-key", "-"], env, { through });
  assert.match(piped.stderr, /Cannot use the key "stdin": it is malformed or of low order/);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a signature of such a key never verifies, whoever wrote its row", async () => {
  await using api = await startApi({ worker: false });
  const [key] = BAD, identityId = identityIdOf(key);
  await createIdentity(api.fixture.db, {
    identityId,
    handle: "weak",
    publicKey: key.toBase64(),
    isAgent: false,
    isAdmin: true,
  });
  // R is the neutral point and S is 0: with this key it verifies for every message.
  const signature = new Uint8Array(64);
  signature[0] = 1;
  const created = Math.floor(Date.now() / 1000);
  const headers = {
    "signature-input":
      `sig=("@method" "@authority" "@path" "@query");created=${created};keyid="${identityId}"`,
    "signature": `sig=:${signature.toBase64()}:`,
  };
  const { status } = await readAnswer(await fetch(`${api.url}/api/jobs`, { headers }));
  assert.equal(status, 401);
});
