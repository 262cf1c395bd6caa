import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { type Client, startApi } from "../../support/http/api.ts";
import { sha256 } from "../../support/muse/repo.ts";

const utf8 = new TextEncoder();
const object = (text: string) => ({ object_id: sha256(text), content: utf8.encode(text) });

Deno.test("POST push/objects takes objects ahead of the push that names them", async (t) => {
  const env = { MPACK_HTTP_BODY_BYTES: "2048" };
  await using api = await startApi({ worker: false, env });
  const me = await api.identity("me"), token = await api.token(me);
  const objects = ["", "one", "two ".repeat(50_000)].map(object);
  const push = (msgpack: unknown, client: Client = token) =>
    client.send("/me/repo/push/objects", { msgpack });
  await t.step("they can be read, and are not missing any more", async () => {
    assert.deepEqual((await push({ objects })).value, { stored: 3, skipped: 0 });
    for (const { object_id, content } of objects) {
      assert.deepEqual((await token.send(`/me/repo/objects/${object_id}`)).bytes, content);
    }
    const object_ids = objects.map((one) => one.object_id);
    const { value } = await token.send("/me/repo/filter-objects", { msgpack: { object_ids } });
    assert.deepEqual(value, { missing: [] });
  });
  await t.step("what the repo has is skipped; the same request again changes nothing", async () => {
    const more = [...objects, object("three")];
    assert.deepEqual((await push({ objects: more })).value, { stored: 1, skipped: 3 });
    const before = await api.fixture.dump();
    assert.deepEqual((await push({ objects: more })).value, { stored: 0, skipped: 4 });
    assert.equal(await api.fixture.dump(), before);
  });
  await t.step("none at all", async () => {
    assert.deepEqual((await push({ objects: [] })).value, { stored: 0, skipped: 0 });
  });
  await t.step("a signed one is bound to its digest", async () => {
    assert.deepEqual((await push({ objects: [object("four")] }, me)).value.stored, 1);
    const body = new Uint8Array(encode({ objects: [object("five")] }));
    const headers = { "content-digest": `sha-256=:${new Uint8Array(32).toBase64()}:` };
    const { status, value } = await me.send("/me/repo/push/objects", { body, headers });
    assert.deepEqual([status, value.code], [422, "digest-mismatch"]);
  });
  await t.step("a bad one is refused, by name and offset, and leaves nothing", async () => {
    const before = await api.fixture.dump();
    const bodies: [string, Uint8Array][] = [
      ["bad-object-id", encode({ objects: [{ object_id: "x", content: new Uint8Array(9) }] })],
      ["unexpected-shape", encode([])],
      ["truncated", encode({ objects }).subarray(0, -5)],
      ["truncated", new Uint8Array()],
    ];
    for (const [code, bytes] of bodies) {
      const body = new Uint8Array(bytes);
      const { status, value } = await token.send("/me/repo/push/objects", { body });
      assert.deepEqual([status, value.code], [422, code]);
    }
    assert.equal(await api.fixture.dump(), before);
    assert.equal(await api.fixture.staged(), 0);
  });
  await t.step("a body without a length is refused", async () => {
    const body = ReadableStream.from([new Uint8Array(encode({ objects }))]);
    const { status, value } = await token.send("/me/repo/push/objects", { body });
    assert.deepEqual([status, value.code], [411, "length-required"]);
  });
  const stored = await Array.fromAsync(api.fixture.store.list(""));
  const { sql } = api.fixture.db;
  const [{ packs }] = await sql`select count(*)::int as packs from musehub_mpacks`;
  assert.equal(stored.filter(({ key }) => key.startsWith("mpacks/")).length, packs);
});
