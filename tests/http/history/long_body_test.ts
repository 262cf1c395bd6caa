import assert from "node:assert/strict";
import { startApi } from "../../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { assertSameBytes, concat, sampleBytes } from "../../support/store/blobs.ts";

Deno.test("a pushed body is stored as it was sent, however long its chunks have become", async () => {
  await using api = await startApi({ worker: false });
  const contents = [5_000_000, 1, 2_500_001].map((sizeBytes, i) => sampleBytes(sizeBytes, i + 1));
  const body = new Uint8Array(
    buildMpack({ objects: contents.map((content) => object({ content })) }),
  );
  const key = mpackKey(body);
  const pushed = await api.admin.send("/me/repo/push/stream", {
    body,
    headers: { "x-mpack-key": key },
  });
  assert.equal(pushed.status, 200, JSON.stringify(pushed.value));
  assertSameBytes(await Deno.readFile(api.fixture.blobPath(key)), body);
  for (const content of contents) {
    const { bytes } = await api.admin.send(`/me/repo/objects/${mpackKey(content)}`);
    assertSameBytes(bytes, content);
  }
});

Deno.test("many blocks of a pack arrive whole, also at clients that read slowly", async () => {
  await using api = await startApi({ worker: false });
  const contents = Array.from({ length: 40 }, (_, i) => sampleBytes(300_000 + i, i + 1));
  const body = new Uint8Array(
    // Every third has a member that no answer has, so that blocks are cut in the middle.
    buildMpack({
      objects: contents.map((content, i) =>
        i % 3 === 0
          ? { object_id: mpackKey(content), path: "a/file", content }
          : object({ content })
      ),
    }),
  );
  const headers = { "x-mpack-key": mpackKey(body) };
  assert.equal((await api.admin.send("/me/repo/push/stream", { body, headers })).status, 200);
  const expected = new Uint8Array(
    buildMpack({ objects: contents.map((content) => object({ content })) }),
  );
  const read = async (pauseMs: number) => {
    const response = await fetch(`${api.url}/me/repo/objects`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${api.admin.token}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({ object_ids: contents.map(mpackKey) }),
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body!) {
      chunks.push(chunk);
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return concat(chunks);
  };
  for (const answer of await Promise.all([0, 1, 3, 0, 1].map(read))) {
    assertSameBytes(answer, expected);
  }
});
