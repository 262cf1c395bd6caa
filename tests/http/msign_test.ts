import assert from "node:assert/strict";
import { isMsign, readMsign } from "../../src/http/auth/msign.ts";
import { SignatureError } from "../../src/http/auth/signature_base.ts";
import { contentDigest } from "../../src/http/auth/content_digest.ts";
import { revokeIdentity } from "../../src/db/identities.ts";
import { sha256, sha256Hex } from "../../src/lib/digest.ts";
import { readAnswer, startApi, type TestApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

interface Signed {
  readonly method?: string;
  readonly path: string;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly headers?: Record<string, string>;
  readonly handle?: string;
  readonly key: CryptoKey;
  readonly awayMs?: number;
  /** The later form. */
  readonly host?: string;
}

/** Makes a request as MuseHub's clients sign it. */
async function sign(api: TestApi, options: Signed): Promise<[string, RequestInit]> {
  const { path, body, key, host, handle = "ada", awayMs = 0 } = options;
  const method = options.method ?? (body === undefined ? "GET" : "POST");
  const ts = Math.floor((Date.now() + awayMs) / 1000), hex = sha256Hex(body ?? new Uint8Array());
  const text = host === undefined
    ? `${method}\n${path}\n${ts}\n${hex}`
    : `ed25519\n${method}\n${host}\n${path}\n${ts}\nsha256:${hex}`;
  const bytes = new TextEncoder().encode(text);
  const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", key, bytes));
  const sig = signature.toBase64({ alphabet: "base64url", omitPadding: true });
  const alg = host === undefined ? "" : ' alg="ed25519"';
  const authorization = `MSign handle="${handle}" ts=${ts} sig="${sig}"${alg}`;
  const headers = { "content-type": "application/json", ...options.headers, authorization };
  return [api.url + path, { method, headers, ...(body ? { body } : {}) }];
}

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const answerOf = async ([url, init]: [string, RequestInit]) => {
  const { status, value, headers } = await readAnswer(await fetch(url, init));
  return { status, detail: value?.detail as string | undefined, value, headers };
};

Deno.test("MSign authenticates one request, once", async (t) => {
  await using api = await startApi({ worker: false });
  const ada = await api.identity("ada"), key = ada.signer!.privateKey;
  const host = new URL(api.url).host, path = "/api/repos";
  const create = (name: string, more: Partial<Signed> = {}) =>
    sign(api, { key, path, body: json({ owner: "ada", name }), ...more });

  await t.step("both forms are accepted", async () => {
    assert.equal((await answerOf(await create("one"))).status, 201);
    assert.equal((await answerOf(await create("two", { host }))).status, 201);
    assert.equal((await answerOf(await sign(api, { key, path: "/api/jobs?limit=3" }))).status, 200);
  });
  await t.step("a replay is refused, and the refusal names both schemes", async () => {
    const request = await create("three");
    assert.equal((await answerOf(request)).status, 201);
    const again = await answerOf(request);
    assert.equal(again.status, 401);
    assert.match(again.detail!, /used before/);
    const challenges = again.headers.get("www-authenticate")!;
    assert.match(challenges, /Signature.*Bearer realm="mpackd".*MSign realm="musehub"/);
  });
  await t.step("another body, path, query, method or host is refused", async () => {
    const [url, init] = await create("four");
    const others: [string, RequestInit][] = [
      [url, { ...init, body: json({ owner: "ada", name: "five" }) }],
      [`${url}?a=1`, init],
      [`${api.url}/me/repo/push/mpack-presign`, init],
      [url, { ...init, method: "PUT" }],
    ];
    for (const other of others) {
      const { status } = await answerOf(other);
      assert.ok(status === 401 || status === 404 && other[1].method === "PUT", String(status));
    }
    const elsewhere = await answerOf(await create("six", { host: "other.example" }));
    assert.equal(elsewhere.status, 401);
  });
  await t.step("a time more than 30 s away is refused, either way", async () => {
    for (const awayMs of [-35_000, 35_000]) {
      const { status, detail } = await answerOf(await create("late", { awayMs }));
      assert.equal(status, 401);
      assert.match(detail!, /30 s are allowed/);
    }
    assert.equal((await answerOf(await create("early", { awayMs: 20_000 }))).status, 201);
  });
  await t.step("an unknown handle, another key and a revoked identity read alike", async () => {
    const bob = await api.identity("bob");
    const bobs = { key: bob.signer!.privateKey, path: "/api/jobs", handle: "bob" };
    assert.equal((await answerOf(await sign(api, bobs))).status, 200);
    await revokeIdentity(api.fixture.db, "bob");
    const refused = [
      await answerOf(await sign(api, { ...bobs, path: "/api/jobs?limit=2" })),
      await answerOf(await sign(api, { ...bobs, handle: "nobody" })),
      await answerOf(await sign(api, { ...bobs, handle: "ada" })),
    ];
    for (const { status, detail } of refused) {
      assert.deepEqual([status, detail], [401, refused[0].detail]);
    }
  });
  await t.step("a streamed body is signed by its digest, which its bytes must have", async () => {
    const pack = new Uint8Array(buildMpack({ objects: [object({ content: sha256("x") })] }));
    const push = { key, path: "/ada/one/push/stream", body: pack };
    const headers = {
      "x-mpack-key": mpackKey(pack),
      "content-digest": contentDigest(sha256(pack)),
    };
    const bare = { "x-mpack-key": mpackKey(pack) };
    const undeclared = await answerOf(await sign(api, { ...push, headers: bare }));
    assert.equal(undeclared.status, 401);
    assert.match(undeclared.detail!, /Content-Digest/);
    const [url, init] = await sign(api, { ...push, headers });
    const other = pack.slice();
    other[other.length - 1] ^= 1;
    assert.equal((await answerOf([url, { ...init, body: other }])).status, 422);
    assert.equal((await answerOf(await sign(api, { ...push, headers, host }))).status, 200);
  });
});

Deno.test("readMsign() takes parameters in any order, and refuses what is not one", () => {
  const sig = new Uint8Array(64).toBase64({ alphabet: "base64url" });
  const read = readMsign(`msign  ts="12", sig=${sig}, handle="a b"`);
  assert.deepEqual([read.handle, read.seconds, read.isHostBound], ["a b", 12, false]);
  assert.equal(readMsign(`MSign handle="a" ts=1 sig="${sig}" alg=ed25519`).isHostBound, true);
  assert.ok(isMsign("MSign") && !isMsign("MSigned x") && !isMsign("Bearer MSign"));
  const bad = [
    "MSign",
    `MSign handle="a" ts=1 sig="${sig.slice(4)}"`,
    `MSign handle="a" ts=1 sig="${sig}" sig="${sig}"`,
    `MSign handle="a" ts=-1 sig="${sig}"`,
    `MSign handle="" ts=1 sig="${sig}"`,
    `MSign handle="a" ts=1 sig="${sig}" alg="rsa"`,
    `MSign handle="a" ts=1 sig="${sig}" nonce="b"`,
    `MSign handle="a" ts=1 sig="${sig}" alg="`,
  ];
  for (const text of bad) assert.throws(() => readMsign(text), SignatureError, text);
});
