import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { startApi } from "../../support/http/api.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { indexHistory } from "../../support/history/record_history.ts";
import { type Bundle, MuseRepo } from "../../support/muse/repo.ts";

const NOBODYS = "9".repeat(64);

Deno.test("POST fetch sends what a client lacks, as one mpack", async (t) => {
  await using api = await startApi({ worker: false });
  const made = new MadeHistory({ isBare: true });
  const one = made.commit({ files: { a: "a", empty: "" } });
  const two = made.commit({ files: { a: "a", empty: "", b: "b".repeat(300_000) } });
  await indexHistory(api.fixture, made.pack());
  const { db, repo: { repoId } } = api.fixture;
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${repoId}, 'main', ${two}), (${repoId}, 'old', ${one})`;
  const post = (msgpack: unknown) => api.admin.send("/me/repo/fetch", { msgpack });
  const bundleOf = ({ bytes }: { bytes: Uint8Array }) => decode(bytes) as Bundle;
  await t.step("a whole history, which a client can check", async () => {
    const answer = await post({ want: [two, two], have: [] });
    assert.equal(answer.status, 200);
    const bundle = bundleOf(answer), repo = new MuseRepo();
    repo.apply(bundle);
    assert.deepEqual([...repo.commits.keys()].sort(), [one, two].sort());
    assert.equal(repo.contents.size, 3);
    // The other branch is not among them: the client did not ask for it.
    assert.deepEqual(bundle.branch_heads, { main: two });
    assert.equal(answer.headers.get("content-type"), "application/x-msgpack");
  });
  await t.step("a difference, without what the client has", async () => {
    const have = [one, NOBODYS, "no id at all"];
    const { commits, snapshots, objects, branch_heads } = bundleOf(
      await post({ want: [two], have }),
    );
    assert.deepEqual(commits.map(({ commit_id }) => commit_id), [two]);
    assert.equal(snapshots.length, 1);
    assert.deepEqual(objects.map(({ content }) => content.length), [300_000]);
    assert.deepEqual(branch_heads, { main: two, old: one });
    const nothing = bundleOf(await post({ want: [two], have: [two] }));
    assert.deepEqual([nothing.commits, nothing.objects], [[], []]);
  });
  await t.step("an answer that is too long is refused before its first byte", async () => {
    const { status, value } = await post({ want: [two], have: [], max_bytes: 100_000 });
    assert.deepEqual([status, value.code], [413, "fetch-too-large"]);
    assert.match(value.detail, /100000/);
    assert.equal((await post({ want: [two], have: [], max_bytes: 400_000 })).status, 200);
  });
  await t.step("404 for a commit that the repo does not have", async () => {
    for (const want of [[NOBODYS], ["main"], [two, NOBODYS]]) {
      const { status, value } = await post({ want, have: [] });
      assert.deepEqual([status, value.code], [404, "history-not-found"]);
    }
    assert.equal((await post({ want: "main" })).status, 422);
  });
  await t.step("a private repo reads like none", async () => {
    const msgpack = { want: [two], have: [] };
    const secret = await api.anonymous.send("/me/repo/fetch", { msgpack });
    const none = await api.anonymous.send("/me/none/fetch", { msgpack });
    assert.deepEqual([secret.status, secret.value.detail], [404, none.value.detail]);
  });
});
