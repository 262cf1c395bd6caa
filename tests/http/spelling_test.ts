import assert from "node:assert/strict";
import { startApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

Deno.test("an object is read by either spelling of its id, whichever was pushed", async () => {
  await using api = await startApi({ worker: false });
  const me = await api.identity("me"), token = await api.token(me);
  const [a, b] = ["bare", "prefixed"].map((text) => new TextEncoder().encode(text));
  const bare = mpackKey(a).slice("sha256:".length), prefixed = mpackKey(b);
  const body = new Uint8Array(
    buildMpack({ objects: [object({ content: a, objectId: bare }), object({ content: b })] }),
  );
  const headers = { "x-mpack-key": mpackKey(body) };
  assert.equal((await me.send("/me/repo/push/stream", { body, headers })).status, 200);
  const others = [mpackKey(a), prefixed.slice("sha256:".length)];
  for (const [i, id] of [bare, prefixed, ...others].entries()) {
    for (const client of [me, token]) {
      const { status, bytes } = await client.send(`/me/repo/objects/${id}`);
      assert.deepEqual([status, [...bytes]], [200, [...[a, b][i % 2]]], id);
    }
  }
  const many = await me.send("/me/repo/objects", { json: { object_ids: others } });
  assert.deepEqual(
    many.value.objects.map(({ object_id }: { object_id: string }) => object_id),
    others,
  );
  const none = await me.send(`/me/repo/objects/${"0".repeat(64)}`);
  assert.equal(none.status, 404);
});
