import assert from "node:assert/strict";
import { startApi } from "../../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { assertSameBytes, sampleBytes } from "../../support/store/blobs.ts";

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
