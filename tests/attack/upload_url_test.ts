import assert from "node:assert/strict";
import { grantAccess, withdrawAccess } from "../../src/db/collaborators.ts";
import { createRepo, deleteRepo } from "../../src/db/repos.ts";
import { revokeIdentity } from "../../src/db/identities.ts";
import { type Client, startApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

const pack = (text: string) =>
  new Uint8Array(buildMpack({ objects: [object({ content: new TextEncoder().encode(text) })] }));

Deno.test("an upload URL gives nothing to those who lost access", async (t) => {
  await using api = await startApi({ worker: false });
  const { db, store } = api.fixture;
  const ada = await api.identity("ada"), bob = await api.identity("bob");
  const { repo } = await createRepo(db, { owner: "ada", slug: "repo" });
  const access = { repoId: repo.repoId, identityId: bob.identity!.identityId };
  await grantAccess(db, access);
  const presign = async (client: Client, bytes: Uint8Array) => {
    const json = { mpack_key: mpackKey(bytes), size_bytes: bytes.length };
    const { value } = await client.send("/ada/repo/push/mpack-presign", { json });
    return value.upload_url as string;
  };
  const put = async (url: string, body: BodyInit) => {
    const response = await fetch(url, { method: "PUT", body });
    await response.arrayBuffer();
    return response.status;
  };
  const unpack = async (client: Client, bytes: Uint8Array) => {
    const json = { mpack_key: mpackKey(bytes) }, headers = { prefer: "respond-async" };
    return (await client.send("/ada/repo/push/unpack-mpack", { json, headers })).status;
  };
  const isStored = async (bytes: Uint8Array) => {
    for await (const page of store.list(`mpacks/${repo.repoId}/`)) {
      if (JSON.stringify(page).includes(mpackKey(bytes))) return true;
    }
    return false;
  };
  await t.step("a removed collaborator's upload is not indexed", async () => {
    const bytes = pack("of a removed collaborator"), url = await presign(bob, bytes);
    await withdrawAccess(db, access);
    assert.equal(await put(url, bytes), 200);
    assert.equal(await unpack(bob, bytes), 404);
    await grantAccess(db, access);
  });
  await t.step("nor is that of a revoked identity", async () => {
    const bytes = pack("of a revoked identity"), url = await presign(bob, bytes);
    await revokeIdentity(db, "bob");
    assert.equal(await put(url, bytes), 200);
    assert.equal(await unpack(bob, bytes), 401);
  });
  const early = pack("begun before the repo was deleted".repeat(50_000));
  const late = pack("begun after the repo was deleted");
  const lateUrl = await presign(ada, late), earlyUrl = await presign(ada, early);
  await t.step("an upload that runs while the repo is deleted stores nothing", async () => {
    const [first, rest] = [early.slice(0, 100_000), early.slice(100_000)];
    const { hostname, port, host, pathname, search } = new URL(earlyUrl);
    using connection = await Deno.connect({ hostname, port: Number(port) });
    const send = async (bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    };
    const head = `PUT ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n` +
      `Content-Length: ${early.length}\r\n\r\n`;
    await send(new TextEncoder().encode(head));
    await send(first);
    await deleteRepo(db, repo);
    // Longer than the time between two checks.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    await send(rest).catch(() => {});
    const buffer = new Uint8Array(65536);
    const count = await connection.read(buffer).catch(() => null);
    assert.match(new TextDecoder().decode(buffer.subarray(0, count ?? 0)), /^HTTP\/1\.1 404 /);
    assert.equal(await isStored(early), false);
  });
  await t.step("after that its URLs store nothing, and nothing is indexed", async () => {
    assert.equal(await put(lateUrl, late), 404);
    assert.equal(await isStored(late), false);
    assert.equal(await unpack(ada, late), 404);
  });
  assert.equal((await db.sql`select from musehub_background_jobs`).length, 0);
});
