import assert from "node:assert/strict";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { startApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { encodedObject, zstd } from "../support/mpack/zstd.ts";
import { readWhole } from "../support/mpack/whole_document.ts";
import { assertSameBytes, sampleBytes } from "../support/store/blobs.ts";

const small = sampleBytes(5_000, 1), large = sampleBytes(1_500_000, 2), plain = sampleBytes(9, 3);

Deno.test("GET and HEAD of an object in zstd send what the client accepts, with the right lengths", async (t) => {
  await using api = await startApi({ worker: false });
  const { fixture, admin } = api;
  await indexMpack(fixture.options(
    await fixture.put(buildMpack({
      objects: [
        encodedObject({ plain: small }),
        encodedObject({ plain: large }),
        object({ content: plain }),
      ],
    })),
  ));
  const ask = (content: Uint8Array, headers: Record<string, string>, method = "GET") =>
    admin.send(`/me/repo/objects/${mpackKey(content)}`, { method, headers });
  const ENCODED = { "accept-encoding": "gzip, zstd;q=0.5" };
  const PLAIN = { "accept-encoding": "br, zstd;q=0" };
  for (const content of [small, large]) {
    const stored = zstd(content), id = mpackKey(content);
    for (
      const [name, headers, bytes, etag, coding] of [
        ["as zstd", ENCODED, stored, `"${id};zstd"`, "zstd"],
        ["plain", PLAIN, content, `"${id}"`, null],
      ] as const
    ) {
      await t.step(`${content.length} bytes ${name}`, async () => {
        const whole = await ask(content, headers), head = await ask(content, headers, "HEAD");
        assertSameBytes(whole.bytes, bytes);
        for (const answer of [whole, head]) {
          assert.equal(answer.status, 200);
          assert.equal(answer.headers.get("content-length"), String(bytes.length));
          assert.equal(answer.headers.get("content-encoding"), coding);
          assert.equal(answer.headers.get("etag"), etag);
          assert.equal(answer.headers.get("vary"), "accept-encoding");
        }
        for (const method of ["GET", "HEAD"]) {
          const part = await ask(content, { ...headers, range: "bytes=-9" }, method);
          assert.equal(part.status, 206);
          assert.equal(part.headers.get("content-length"), "9");
          const { length } = bytes;
          assert.equal(
            part.headers.get("content-range"),
            `bytes ${length - 9}-${length - 1}/${length}`,
          );
          if (method === "GET") assertSameBytes(part.bytes, bytes.subarray(length - 9));
        }
        const past = await ask(content, { ...headers, range: `bytes=${bytes.length}-` });
        assert.equal(past.status, 416);
        // A part of one representation is no part of the other.
        const other = { ...headers, range: "bytes=0-1", "if-range": `"${id};other"` };
        assert.equal((await ask(content, other)).status, 200);
        const known = await ask(content, { ...headers, "if-none-match": etag });
        assert.equal(known.status, 304);
      });
    }
  }
  await t.step("a plain object is never sent as zstd", async () => {
    const { headers, bytes } = await ask(plain, ENCODED);
    assert.equal(headers.get("content-encoding"), null);
    assert.equal(headers.get("etag"), `"${mpackKey(plain)}"`);
    assertSameBytes(bytes, plain);
  });
  await t.step("many objects come plain", async () => {
    const contents = [large, plain, small];
    const { bytes } = await admin.send("/me/repo/objects", {
      json: { object_ids: contents.map(mpackKey) },
    });
    const whole = readWhole(bytes);
    assert.ok(whole.accepted);
    for (const [i, { objectId, contentOffset, sizeBytes, encoding }] of whole.rows.entries()) {
      assert.deepEqual([objectId, encoding], [mpackKey(contents[i]), undefined]);
      assertSameBytes(bytes.subarray(contentOffset, contentOffset + sizeBytes), contents[i]);
    }
  });
});
