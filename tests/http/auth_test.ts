import assert from "node:assert/strict";
import { signRequest } from "../../src/http/auth/signature.ts";
import { grantAccess } from "../../src/db/collaborators.ts";
import { forgetSignatures, revokeIdentity } from "../../src/db/identities.ts";
import { revokeToken } from "../../src/db/tokens.ts";
import { type Client, newSigner, prepare, readAnswer, startApi } from "../support/http/api.ts";

const OBJECT_ID = `sha256:${"0".repeat(64)}`;

Deno.test("a signature authenticates one request, once", async (t) => {
  await using api = await startApi();
  const { fixture, url } = api;
  const ada = await api.identity("ada");
  const target = `${url}/api/repos`;
  const json = { owner: "ada", name: "One" };

  await t.step("a signed request is accepted", async () => {
    assert.equal((await ada.send("/api/repos", { json })).status, 201);
  });
  await t.step("a replayed one is refused", async () => {
    const request = await prepare(target, { json: { owner: "ada", name: "Two" } }, ada.signer);
    assert.equal((await readAnswer(await fetch(target, request))).status, 201);
    const again = await readAnswer(await fetch(target, request));
    assert.equal(again.status, 401);
    assert.equal(again.value.code, "unauthenticated");
    assert.match(again.value.detail, /used before/);
    assert.match(again.headers.get("www-authenticate")!, /Signature/);
  });
  await t.step("another body, path, query, method or host is refused", async () => {
    const fresh = () => prepare(target, { json }, ada.signer);
    const bodied = await fresh();
    bodied.body = new TextEncoder().encode(JSON.stringify({ ...json, name: "Three" }));
    assert.equal((await readAnswer(await fetch(target, bodied))).status, 400);
    for (const other of [`${target}?a=1`, `${url}/me/repo/push/mpack-presign`]) {
      assert.equal((await readAnswer(await fetch(other, await fresh()))).status, 401, other);
    }
    const method = { ...await fresh(), method: "PUT" };
    assert.notEqual((await readAnswer(await fetch(target, method))).status, 201);
    const { port } = new URL(url);
    const host = target.replace("127.0.0.1", "localhost");
    assert.ok(host.includes(port));
    const elsewhere = await prepare(host, { json }, ada.signer);
    assert.equal((await readAnswer(await fetch(host, elsewhere))).status, 401);
  });
  await t.step("a missing content-digest is refused", async () => {
    const request = await prepare(target, { json }, ada.signer);
    request.headers.delete("content-digest");
    assert.equal((await readAnswer(await fetch(target, request))).status, 401);
    const headers = new Headers({ "content-type": "application/json" });
    const message = { method: "POST", url: new URL(target), headers };
    for (const [name, value] of Object.entries(await signRequest(message, ada.signer!))) {
      headers.set(name, value);
    }
    const body = JSON.stringify(json);
    const answer = await readAnswer(await fetch(target, { method: "POST", headers, body }));
    assert.equal(answer.status, 401);
    assert.match(answer.value.detail, /does not cover the body/);
  });
  await t.step("an expired one, or one from the future, is refused", async () => {
    for (const awayMs of [-400_000, 400_000]) {
      const headers = new Headers();
      const message = { method: "GET", url: new URL(`${url}/api/jobs`), headers };
      const signed = await signRequest(message, ada.signer!, { nowMs: Date.now() + awayMs });
      const answer = await readAnswer(await fetch(message.url, { headers: { ...signed } }));
      assert.equal(answer.status, 401, String(awayMs));
    }
  });
  await t.step("an unknown key, or the key of another identity, is refused", async () => {
    const { signer } = await newSigner();
    const forged = { ...signer, keyId: ada.signer!.keyId };
    for (const forger of [signer, forged]) {
      const request = await prepare(target, { json }, forger);
      assert.equal((await readAnswer(await fetch(target, request))).status, 401);
    }
  });
  await t.step("a revoked signer is refused", async () => {
    const bob = await api.identity("bob");
    assert.equal((await bob.send("/api/jobs")).status, 200);
    await revokeIdentity(fixture.db, "bob");
    assert.equal((await bob.send("/api/jobs")).status, 401);
    // The handle can be used again with a new key.
    await api.identity("bob");
  });
  await t.step("used signatures are kept until they expire", async () => {
    assert.equal(await forgetSignatures(fixture.db), 0);
    await fixture.db.sql`update mpackd_seen_signatures set expires_at = now() - interval '1 s'`;
    assert.ok(await forgetSignatures(fixture.db) >= 3);
  });
});

Deno.test("a bearer token allows what its scopes say", async (t) => {
  await using api = await startApi();
  const ada = await api.identity("ada", { isAdmin: true });
  const json = { owner: "ada", name: "one" };
  const status = async (client: Client, path = "/api/repos", body?: unknown) =>
    (await client.send(path, body === undefined ? {} : { json: body })).status;
  const token = await api.token(ada);
  assert.equal(await status(token, "/api/repos", json), 201);
  await t.step("without push scope it creates nothing", async () => {
    const reader = await api.token(ada, { scopes: ["read"] });
    assert.equal(await status(reader, "/api/jobs"), 200);
    assert.equal(await status(reader, "/api/repos", { ...json, name: "two" }), 403);
  });
  await t.step("without admin scope it is not an admin", async () => {
    const { repo } = api.fixture;
    const path = `/api/repos/${repo.repoId}`;
    assert.equal(await status(token, path), 404);
    assert.equal(await status(await api.token(ada, { scopes: ["read", "admin"] }), path), 200);
  });
  await t.step("expired, revoked, forged or changed tokens are refused", async () => {
    const old = await api.token(ada, { lifetimeMs: -1 });
    assert.equal(await status(old, "/api/jobs"), 401);
    const revoked = await api.token(ada);
    await revokeToken(api.fixture.db, revoked.text.split("_")[1]);
    assert.equal(await status(revoked, "/api/jobs"), 401);
    const changed = token.text.slice(0, -1) + (token.text.endsWith("A") ? "B" : "A");
    for (const text of [changed, `mpk_${"0".repeat(16)}_${"A".repeat(43)}`, "x", "mpk_;drop_"]) {
      const headers = { authorization: `Bearer ${text}` };
      assert.equal((await api.anonymous.send("/api/jobs", { headers })).status, 401, text);
    }
    assert.equal(
      (await api.anonymous.send("/api/jobs", { headers: { authorization: "Basic eDp5" } })).status,
      401,
    );
  });
  await t.step("the database does not store the secret", async () => {
    const rows = await api.fixture.db.sql`select t::text as text from mpackd_tokens t`;
    const secret = token.text.split("_").slice(2).join("_");
    assert.ok(rows.length > 0 && rows.every(({ text }) => !text.includes(secret)));
  });
});

Deno.test("a private repo is answered like an absent one, on every route", async () => {
  await using api = await startApi();
  const { fixture } = api;
  const [me, ada, bob] = [
    await api.identity("me"),
    await api.identity("ada"),
    await api.identity("bob"),
  ];
  const { repo, db } = fixture;
  await grantAccess(db, { repoId: repo.repoId, identityId: ada.identity!.identityId });
  const mpackKey = await fixture.put(new Uint8Array([0x80]));
  const asked = await me.send("/me/repo/push/unpack-mpack", { json: { mpack_key: mpackKey } });
  const jobId = asked.value.job_id;
  assert.equal(asked.status, 200, JSON.stringify(asked.value));
  const body = { mpack_key: mpackKey, size_bytes: 1 };
  const requests: [path: string, json?: unknown, method?: string][] = [
    [`/api/repos/${repo.repoId}`],
    [`/api/repos/${repo.repoId}`, undefined, "DELETE"],
    ["/me/repo/push/mpack-presign", body],
    ["/me/repo/push/mpack-presign", "no such body"],
    ["/me/repo/push/unpack-mpack", { mpack_key: mpackKey }],
    [`/me/repo/objects/${OBJECT_ID}`],
    ["/me/repo/objects", { object_ids: [] }],
    ["/me/repo/filter-objects", { object_ids: [OBJECT_ID] }],
  ];
  for (const [path, json, method] of requests) {
    const absent = path.replace("/me/repo/", "/me/none/").replace(repo.repoId, "sha256:none");
    const request = { ...(json === undefined ? {} : { json }), ...(method ? { method } : {}) };
    for (const client of [bob, api.anonymous]) {
      const [real, none] = [await client.send(path, request), await client.send(absent, request)];
      const shape = ({ status, value }: typeof real) => ({ status, ...value, instance: "" });
      assert.deepEqual(shape(real), shape(none), path);
      assert.equal(real.status, 404, path);
    }
  }
  for (const path of [`/api/jobs/${jobId}`, `/api/jobs/${jobId}/events`]) {
    assert.equal((await bob.send(path)).status, 404);
    assert.equal((await bob.send(path.replace(jobId, "none"))).status, 404);
  }
  assert.deepEqual((await bob.send("/api/jobs")).value.jobs, []);
  assert.equal((await bob.send(`/api/jobs?repoId=${repo.repoId}`)).status, 404);
  // A collaborator sees everything.
  assert.equal((await ada.send(`/api/repos/${repo.repoId}`)).status, 200);
  assert.equal((await ada.send("/api/jobs")).value.jobs[0].jobId, jobId);
  assert.equal((await ada.send("/me/repo/push/mpack-presign", { json: body })).status, 200);
  // But only the owner may delete it.
  const path = `/api/repos/${repo.repoId}`;
  assert.equal((await ada.send(path, { method: "DELETE" })).status, 403);
  assert.equal((await me.send(path, { method: "DELETE" })).status, 204);
  assert.equal((await me.send(path)).status, 404);
});

Deno.test("a public repo: everyone may read, only insiders may push", async () => {
  await using api = await startApi();
  const [ada, bob] = [await api.identity("ada"), await api.identity("bob")];
  const json = { owner: "ada", name: "Open Source!", visibility: "public", initialize: true };
  const made = await ada.send("/api/repos", { json });
  assert.equal(made.value.slug, "open-source");
  assert.equal((await ada.send("/api/repos", { json })).status, 409);
  assert.equal((await bob.send("/api/repos", { json })).status, 403);
  assert.equal((await api.anonymous.send("/api/repos", { json })).status, 401);
  const path = `/api/repos/${encodeURIComponent(made.value.repoId)}`;
  assert.equal(made.headers.get("location"), path);
  assert.equal((await api.anonymous.send(path)).value.name, "Open Source!");
  const push = { json: { mpack_key: OBJECT_ID, size_bytes: 5 } };
  const presign = "/ada/open-source/push/mpack-presign";
  assert.equal((await api.anonymous.send(presign, push)).status, 401);
  assert.equal((await bob.send(presign, push)).status, 403);
  assert.equal((await ada.send(presign, push)).status, 200);
});
