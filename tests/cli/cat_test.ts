import assert from "node:assert/strict";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { runMain } from "../support/process/main.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { createFixture } from "../support/process/fixture.ts";

Deno.test("cat writes one object to stdout, or a part of it, or says where it lies", async (t) => {
  await using fixture = await createFixture();
  const content = new TextEncoder().encode("what lies in a pack comes out of it");
  const other = sampleBytes(2 * 1024 * 1024), lie = `sha256:${"ab".repeat(32)}`;
  const key = await fixture.put(buildMpack({
    objects: [
      object({ content }),
      object({ content: other }),
      object({ content: other.subarray(9), objectId: lie }),
    ],
  }));
  await indexMpack(fixture.options(key));
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const cat = (...args: string[]) => runMain(["cat", ...args, "--repo", "me/repo"], env);
  const id = mpackKey(content);

  await t.step("whole", async () => {
    assert.deepEqual(await cat(id), {
      code: 0,
      stdout: "what lies in a pack comes out of it",
      stderr: "",
    });
  });
  await t.step("a part", async () => {
    assert.equal((await cat(id, "--offset", "5", "--length", "4")).stdout, "lies");
    const { code, stderr } = await cat(id, "--offset", "36");
    assert.equal(code, 2);
    assert.match(stderr, /from byte 36: it has 35 bytes/);
  });
  await t.step("--json", async () => {
    const { code, stdout } = await cat(id, "--json");
    const [row] = await fixture.db.sql`select content_offset, size_bytes from musehub_object_refs
      where object_id = ${id}`;
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), {
      object_id: id,
      mpack_key: key,
      ...row,
      encoding: null,
      stored_bytes: content.length,
      offset_bytes: 0,
      length_bytes: content.length,
    });
  });
  await t.step("by the beginning of its id, or by its other spelling", async () => {
    const digits = id.slice("sha256:".length);
    for (const text of [digits, digits.slice(0, 8), id.slice(0, 15)]) {
      assert.equal((await cat(text)).stdout, "what lies in a pack comes out of it", text);
    }
    const { code, stderr } = await cat("ffff");
    assert.deepEqual([code, stderr.includes("object-not-found")], [3, true]);
  });
  await t.step("an id the repo does not have: exit 3", async () => {
    const { code, stdout } = await cat(mpackKey(other.subarray(1)), "--json");
    assert.equal(code, 3);
    assert.equal(JSON.parse(stdout).error.code, "object-not-found");
  });
  await t.step("bytes that are not the object's: exit 3, before success", async () => {
    const { code, stdout } = await cat(lie, "--json");
    assert.equal(code, 3);
    assert.equal(JSON.parse(stdout).error.code, "object-mismatch");
    assert.ok(JSON.parse(stdout).error.message.includes(key));
    const plain = await cat(lie);
    assert.equal(plain.code, 3);
    assert.match(plain.stderr, /object-mismatch/);
  });
});
