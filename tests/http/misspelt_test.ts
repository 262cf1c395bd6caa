import assert from "node:assert/strict";
import { z } from "zod";
import { checkShape } from "../../src/http/body/check_shape.ts";
import { startApi } from "../support/http/api.ts";

Deno.test("a misspelt member of a body or a query is refused by name", async (t) => {
  await using api = await startApi({ worker: false });
  const me = await api.identity("me");
  const key = `sha256:${"0".repeat(64)}`;
  const bodies: [string, object, string][] = [
    ["/api/repos", { owner: "me", name: "x", visiblity: "public" }, "visibility"],
    ["/me/repo/push/mpack-presign", { mpack_key: key, size_bytes: 1, part_byte: 9 }, "part_bytes"],
    ["/me/repo/push/unpack-mpack", { mpack_key: key, brunch: "main" }, "branch"],
    ["/me/repo/fetch", { wants: [] }, "want"],
    ["/me/repo/tags", { tags: [{ tag: "a", commit_id: key, create_at: "" }] }, "created_at"],
  ];
  for (const [path, json, meant] of bodies) {
    await t.step(path, async () => {
      const { status, value } = await me.send(path, { json });
      assert.equal(status, 422);
      assert.match(value.detail, new RegExp(`there is no such member; did you mean ${meant}\\?`));
    });
  }
  await t.step("queries", async () => {
    for (
      const [path, meant] of [
        ["/api/jobs?statsu=failed", "status"],
        ["/me/repo/commits?limt=3", "limit"],
        ["/me/repo/packs?afer=x", "after"],
      ]
    ) {
      const query = await me.send(path);
      const isNamed = query.value.detail.includes(`did you mean ${meant}?`);
      assert.deepEqual([query.status, isNamed], [400, true], path);
    }
  });
  await t.step("what is like no member is left to other clients", async () => {
    const json = { object_ids: [], client: "muse 9", ttl_seconds: 300 };
    assert.equal((await me.send("/me/repo/filter-objects", { json })).status, 200);
  });
});

Deno.test("checkShape() names misspelt members inside others, strict or not", () => {
  const inside = z.object({ depth: z.number().optional() });
  const schema = z.object({
    open: inside.optional(),
    strict: z.strictObject({ colour: z.string().optional() }).nullish(),
    list: z.array(z.strictObject({ name: z.string().optional() })).default([]),
  });
  const detailOf = (value: unknown) => {
    try {
      checkShape(schema, value, "body");
      return "accepted";
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.match(detailOf({ open: { dept: 1 } }), /: \/open\/dept: .*did you mean depth\?/);
  assert.match(detailOf({ strict: { color: "" } }), /: \/strict\/color: .*did you mean colour\?/);
  assert.match(detailOf({ list: [{ nmae: "" }] }), /: \/list\/0\/nmae: .*did you mean name\?/);
  assert.equal(detailOf({ open: { depth: 1, other: 1 }, strict: null }), "accepted");
  // Both are given, so neither was misspelt.
  assert.equal(detailOf({ open: { depth: 1, dept: 2 } }), "accepted");
  const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`x${i}`, i]));
  assert.equal(detailOf(many), "accepted");
});
