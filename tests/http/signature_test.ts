import assert from "node:assert/strict";
import { createSigner, httpbis } from "http-message-signatures";
import { parseDictionary } from "structured-headers";
import { createPrivateKey } from "node:crypto";
import { importPublicKey } from "../../src/http/auth/keys.ts";
import { checkSignature, readSignature, signRequest } from "../../src/http/auth/signature.ts";
import { signatureBase, SignatureError } from "../../src/http/auth/signature_base.ts";
import { declaredSha256 } from "../../src/http/auth/content_digest.ts";
import { newSigner } from "../support/http/api.ts";

// RFC 9421, appendix B: the request of B.2, the key of B.1.4, the signature of B.2.6.
const REQUEST = {
  method: "POST",
  url: new URL("https://example.com/foo?param=Value&Pet=dog"),
  headers: new Headers({
    "host": "example.com",
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-digest":
      "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    "content-length": "18",
  }),
};
const PUBLIC_KEY = Uint8Array.fromBase64("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
const PRIVATE_KEY = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----`;
const INPUT = '("date" "@method" "@path" "@authority" "content-type" "content-length")' +
  ';created=1618884473;keyid="test-key-ed25519"';
const ID = `sha256:${"a".repeat(64)}`;
const SIGNATURE =
  "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
const BASE = `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ${INPUT}`;

function withSignature(input: string, signature: string, label = "sig-b26") {
  const headers = new Headers(REQUEST.headers);
  headers.set("signature-input", `${label}=${input}`);
  headers.set("signature", `${label}=:${signature}:`);
  return { ...REQUEST, headers };
}

async function verifies(base: string, signature: Uint8Array<ArrayBuffer>, publicKey: Uint8Array) {
  const key = await importPublicKey(publicKey);
  return await crypto.subtle.verify("Ed25519", key, signature, new TextEncoder().encode(base));
}

Deno.test("readSignature() reads RFC 9421's Ed25519 example, and it verifies", async () => {
  const read = readSignature(withSignature(INPUT, SIGNATURE))!;
  assert.equal(read.base, BASE);
  assert.equal(read.keyId, "test-key-ed25519");
  assert.equal(read.created, 1618884473);
  assert.ok(await verifies(read.base, read.signature, PUBLIC_KEY));
  const other = read.base.replace("/foo", "/fop");
  assert.ok(!await verifies(other, read.signature, PUBLIC_KEY));
});

Deno.test("signatureBase() serializes the queries of RFC 9421, section 2.2.7", () => {
  const input = parseDictionary('s=("@query")').get("s") as Parameters<typeof signatureBase>[1];
  const base = (url: string) =>
    signatureBase({ ...REQUEST, url: new URL(url) }, input).split("\n")[0];
  assert.equal(base("https://a/path?param=value&foo=bar"), '"@query": ?param=value&foo=bar');
  assert.equal(base("https://a/path?queryString"), '"@query": ?queryString');
  assert.equal(base("https://a/path"), '"@query": ?');
});

Deno.test("readSignature() accepts the signatures of another library", async () => {
  const key = createSigner(createPrivateKey(PRIVATE_KEY), "ed25519", "test-key-ed25519");
  const fields = ["@method", "@authority", "@path", "@query", "content-digest"];
  const signed = await httpbis.signMessage({ key, fields, params: ["created", "keyid", "nonce"] }, {
    method: REQUEST.method,
    url: REQUEST.url.href,
    headers: Object.fromEntries(REQUEST.headers),
  });
  const headers = new Headers(signed.headers as Record<string, string>);
  const read = readSignature({ ...REQUEST, headers })!;
  assert.ok(await verifies(read.base, read.signature, PUBLIC_KEY));
  checkSignature(read, { nowMs: Date.now(), maxAgeMs: 60_000, skewMs: 60_000 });
});

Deno.test("signRequest() makes accepted signatures that differ each time", async () => {
  const { signer, publicKey } = await newSigner();
  const sign = async () => {
    const headers = new Headers(REQUEST.headers);
    const added = await signRequest({ ...REQUEST, headers }, signer);
    for (const [name, value] of Object.entries(added)) headers.set(name, value);
    return readSignature({ ...REQUEST, headers })!;
  };
  const [first, second] = [await sign(), await sign()];
  assert.ok(await verifies(first.base, first.signature, publicKey));
  assert.equal(first.keyId, signer.keyId);
  assert.ok(first.covers.has("content-digest"));
  assert.notEqual(first.base, second.base);
});

Deno.test("readSignature() passes over the signature of a proxy", () => {
  const ours = INPUT.replace("test-key-ed25519", ID);
  const proxy = '("@status";req "x-none");created=1;keyid="proxy";alg="hmac-sha256";x=1';
  const message = withSignature(`${ours}, proxy=${proxy}`, SIGNATURE);
  message.headers.append("signature", "proxy=:AAAA:");
  assert.equal(readSignature(message)!.keyId, ID);
  const alone = withSignature(`${proxy}, b=${proxy}`, SIGNATURE);
  assert.equal(readSignature(alone), undefined);
});

Deno.test("readSignature() refuses malformed and ambiguous signatures", async (t) => {
  const cases: Record<string, [input: string, fault: RegExp]> = {
    "a component twice": ['("@method" "@method");created=1;keyid="k"', /twice/],
    "a component with parameters": ['("@method";req);created=1;keyid="k"', /parameters/],
    "an unknown derived component": ['("@status");created=1;keyid="k"', /not supported/],
    "a field that is not there": ['("x-none");created=1;keyid="k"', /not in the request/],
    "an upper-case field": ['("Date");created=1;keyid="k"', /not a component name/],
    "another algorithm": ['("@method");created=1;keyid="k";alg="hmac-sha256"', /ed25519/],
    "an unknown parameter": ['("@method");created=1;keyid="k";x=1', /unknown/],
    "no key": ['("@method");created=1', /keyid/],
    "no creation time": ['("@method");keyid="k"', /creation/],
    "a creation time in text": ['("@method");created="1";keyid="k"', /creation/],
    "no list": ['"@method";created=1;keyid="k"', /not a list/],
    "no structured field": ["((", /malformed/],
  };
  for (const [name, [input, fault]] of Object.entries(cases)) {
    await t.step(name, () => {
      assert.throws(() => readSignature(withSignature(input, SIGNATURE)), (error) => {
        assert.ok(error instanceof SignatureError);
        assert.match(error.message, fault);
        return true;
      });
    });
  }
  await t.step("two signatures of identities", () => {
    const ours = INPUT.replace("test-key-ed25519", ID);
    const message = withSignature(`${ours}, b=${ours}`, SIGNATURE);
    assert.throws(() => readSignature(message), /2 signatures/);
  });
  await t.step("fields of two signatures", () => {
    const message = withSignature(INPUT, SIGNATURE);
    message.headers.set("signature", `other=:${SIGNATURE}:`);
    assert.throws(() => readSignature(message), /two signatures/);
  });
  await t.step("one field without the other", () => {
    const message = withSignature(INPUT, SIGNATURE);
    message.headers.delete("signature");
    assert.throws(() => readSignature(message), /together/);
  });
});

Deno.test("checkSignature() checks the time window and the covered components", () => {
  const all = '("@method" "@authority" "@path" "@query");created=1000;keyid="k"';
  const read = (input: string) => readSignature(withSignature(input, SIGNATURE))!;
  const at = (seconds: number) => ({ nowMs: seconds * 1000, maxAgeMs: 300_000, skewMs: 60_000 });
  assert.equal(checkSignature(read(all), at(1000)), 1_300_000);
  assert.throws(() => checkSignature(read(all), at(1301)), /older/);
  assert.throws(() => checkSignature(read(all), at(939)), /future/);
  assert.throws(() => checkSignature(read(`${all};expires=1010`), at(1010)), /expired/);
  for (const name of ["@method", "@authority", "@path", "@query"]) {
    const less = all.replace(`"${name}"`, "");
    assert.throws(() => checkSignature(read(less), at(1000)), new RegExp(`cover "${name}"`));
  }
});

Deno.test("declaredSha256() reads RFC 9530's field and refuses others", () => {
  const digest = new Uint8Array(32).fill(7);
  assert.equal(declaredSha256(`sha-256=:${digest.toBase64()}:`), digest.toHex());
  assert.equal(declaredSha256(`sha-512=:AA==:, sha-256=:${digest.toBase64()}:`), digest.toHex());
  for (const field of ["", "sha-256=:AA==:", "sha-512=:AA==:", "sha-256=abc", "((("]) {
    assert.equal(declaredSha256(field), undefined);
  }
});
