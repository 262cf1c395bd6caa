import assert from "node:assert/strict";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { startApi } from "../support/http/api.ts";
import { buildMpack, object } from "../support/mpack/mpacks.ts";

Deno.test("a repo is found by its name, edited by its owner, and lists its packs", async (t) => {
  await using api = await startApi({ worker: false });
  const { fixture, anonymous } = api, { repoId } = fixture.repo;
  const me = await api.identity("me"), other = await api.identity("other");
  await t.step("by its name as by its id", async () => {
    const byId = await me.send(`/api/repos/${repoId}`), byName = await me.send("/me/repo");
    assert.deepEqual([byName.status, byName.value], [200, byId.value]);
    for (const client of [other, anonymous]) {
      assert.equal((await client.send("/me/repo")).value.code, "repo-not-found");
    }
    assert.equal((await me.send("/me/nothing")).value.code, "repo-not-found");
  });
  await t.step("PATCH", async () => {
    const edit = (client: typeof me, json: object) =>
      client.send(`/api/repos/${repoId}`, { method: "PATCH", json });
    assert.equal((await edit(other, { visibility: "public" })).status, 404);
    const misspelt = await edit(me, { visiblity: "public" });
    assert.equal(misspelt.status, 422);
    assert.match(misspelt.value.detail, /did you mean visibility/);
    const { status, value } = await edit(me, { visibility: "public", name: "My repo" });
    assert.deepEqual([status, value.visibility, value.name], [200, "public", "My repo"]);
    assert.deepEqual((await anonymous.send("/me/repo")).value, value);
    // Whoever may read it still may not change it.
    assert.equal((await edit(other, { visibility: "private" })).status, 403);
    assert.equal((await edit(me, { visibility: "private" })).value.name, "My repo");
  });
  await t.step("packs, in pages", async () => {
    const keys: string[] = [];
    for (const text of ["a", "b", "c"]) {
      const content = new TextEncoder().encode(text);
      const key = await fixture.put(buildMpack({ objects: [object({ content })] }));
      await indexMpack(fixture.options(key));
      keys.unshift(key);
    }
    const first = (await me.send("/me/repo/packs?limit=2")).value;
    assert.deepEqual(
      first.packs.map((pack: { mpack_key: string }) => pack.mpack_key),
      keys.slice(0, 2),
    );
    assert.deepEqual([first.packs[0].objects, first.next], [1, keys[1]]);
    const rest = (await me.send(`/me/repo/packs?limit=2&after=${first.next}`)).value;
    assert.deepEqual([rest.packs.length, rest.packs[0].mpack_key, rest.next], [1, keys[2], null]);
    assert.equal((await other.send("/me/repo/packs")).status, 404);
    assert.equal((await me.send(`/me/repo/packs?after=sha256:${"0".repeat(64)}`)).status, 400);
  });
  await t.step("the console's pages are not taken for repos", async () => {
    for (const page of ["/ui/jobs", "/ui/nothing"]) {
      const response = await fetch(api.url + page, { redirect: "manual" });
      assert.ok(!(await response.text()).includes("repo-not-found"), page);
    }
  });
});
