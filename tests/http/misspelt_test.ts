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

Deno.test("members of bodies and queries are taken in snake_case and in camelCase", async (t) => {
  await using api = await startApi({ worker: false });
  const me = await api.identity("me"), { repo: { repoId } } = api.fixture;
  const key = `sha256:${"0".repeat(64)}`;
  const both = async (path: string, status: number, snake: object, camel: object) => {
    await t.step(path, async () => {
      const answers = [];
      for (const json of [snake, camel]) answers.push(await me.send(path, { json }));
      assert.deepEqual(answers.map((answer) => answer.status), [status, status]);
    });
  };
  await both(
    "/me/repo/push/mpack-presign",
    200,
    { mpack_key: key, size_bytes: 1 },
    { mpackKey: key, sizeBytes: 1 },
  );
  await both("/me/repo/filter-objects", 200, { object_ids: [] }, { objectIds: [] });
  await t.step("/api/jobs", async () => {
    for (const name of ["repoId", "repo_id"]) {
      assert.equal((await me.send(`/api/jobs?${name}=${encodeURIComponent(repoId)}`)).status, 200);
    }
  });
});

Deno.test("checkShape() takes either spelling, inside others too", () => {
  const schema = z.strictObject({
    repo_id: z.string().optional(),
    inside: z.strictObject({ sizeBytes: z.number() }).optional(),
  });
  const check = (value: unknown) => checkShape(schema, value, "body");
  assert.deepEqual(check({ repoId: "r", inside: { size_bytes: 1 } }), {
    repo_id: "r",
    inside: { sizeBytes: 1 },
  });
  const given = { repo_id: "r", inside: { sizeBytes: 1 } };
  assert.deepEqual(check(given), given);
  assert.throws(() => check({ repoId: "r", repo_id: "r" }), /\/repoId: there is no such member/);
  assert.throws(() => check({ repoid: "r" }), /did you mean repo_id\?/);
  // Names that other prototypes have are members like any others.
  assert.throws(() => check({ constructor: 1 }), /\/constructor: there is no such member/);
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
