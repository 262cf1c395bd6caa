import assert from "node:assert/strict";
import { type Client, startApi } from "../../support/http/api.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { indexHistory } from "../../support/history/record_history.ts";

const NOBODYS = "9".repeat(64);

/** A tag as MuseHub's client sends it. */
const tag = (name: string, commit_id: string) => ({
  tag_id: "0b9a639e-9d67-4507-bc8d-574a0140fabc",
  repo_id: "the client's own",
  commit_id,
  tag: name,
  created_at: "2026-03-24T10:00:00+00:00",
});

Deno.test("POST tags sets tags to commits of the repo, and moves them", async (t) => {
  await using api = await startApi({ worker: false });
  const made = new MadeHistory({ isBare: true });
  const one = made.commit(), two = made.commit({ files: { a: "a" } });
  await indexHistory(api.fixture, made.pack());
  const set = (tags: unknown, client: Client = api.admin) =>
    client.send("/me/repo/tags", { msgpack: { tags } });
  const stored = async () =>
    (await api.fixture.db.sql`select tag, commit_id, created_at from musehub_tags
      order by tag collate "C"`).map((row) => [row.tag, row.commit_id, row.created_at.getTime()]);
  const time = Date.parse("2026-03-24T10:00:00Z");
  await t.step("new ones, and one that moves", async () => {
    assert.deepEqual((await set([tag("v1", one), tag("v2", one)])).value, { stored: 2 });
    // Of one name that comes twice the last counts; what is there already is not stored again.
    const { value } = await set([tag("v2", one), tag("v1", one), tag("v1", two)]);
    assert.deepEqual(value, { stored: 1 });
    assert.deepEqual(await stored(), [["v1", two, time], ["v2", one, time]]);
  });
  await t.step("all or none", async () => {
    const before = await stored();
    const refusals: [number, RegExp, unknown][] = [
      [422, new RegExp(`no commit ${NOBODYS}`), [tag("v3", one), tag("v4", NOBODYS)]],
      [422, /\/tags\/1\/tag: has control/, [tag("v3", one), tag("a\0b", one)]],
      [422, /\/tags\/0\/tag/, [tag("", one)]],
      [422, /\/tags\/0\/tag/, [tag("x".repeat(501), one)]],
      [422, /\/tags\/0\/commit_id: not a commit id/, [tag("v3", "c1")]],
      [422, /\/tags\/0/, [null]],
      [422, /\/tags: not an array/, "v3"],
      [413, /10,001 tags .* limit is 10,000/, new Array(10_001).fill(0)],
    ];
    for (const [status, why, tags] of refusals) {
      const answer = await set(tags);
      assert.equal(answer.status, status, why.source);
      assert.match(answer.value.detail, why);
    }
    assert.deepEqual(await stored(), before);
  });
  await t.step("none, and one without a time", async () => {
    assert.deepEqual((await set([])).value, { stored: 0 });
    const timeless = [{ tag: "now", commit_id: one }, { ...tag("then", one), created_at: "?" }];
    assert.deepEqual((await set(timeless)).value, { stored: 2 });
    for (const [, , at] of await stored()) assert.ok(at === time || Date.now() - at < 60_000);
  });
  await t.step("commits of other repos are nobody's; strangers may not", async () => {
    const ada = await api.identity("ada");
    const json = { owner: "ada", name: "one", visibility: "public" };
    await ada.send("/api/repos", { json });
    const msgpack = { tags: [tag("v1", one)] };
    const { status, value } = await ada.send("/ada/one/tags", { msgpack });
    assert.deepEqual([status, value.code], [422, "history-not-found"]);
    assert.equal((await api.anonymous.send("/ada/one/tags", { msgpack })).status, 401);
    const bob = await api.identity("bob");
    assert.equal((await bob.send("/ada/one/tags", { msgpack })).status, 403);
    assert.equal((await set([tag("v9", one)], bob)).status, 404);
  });
});
