import { encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { contentDigest } from "../../../src/http/auth/content_digest.ts";
import { sha256 } from "../../../src/lib/digest.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { type Client, startApi, type TestApi } from "../../support/http/api.ts";
import { MuseClient, Refused } from "../../support/muse/client.ts";
import { type Files, MuseRepo } from "../../support/muse/repo.ts";
import { makeBucket, s3Engine } from "../../support/store/swift.ts";

const FILES: Files = {
  "empty.txt": "",
  "docs/d\\ un été.txt": "accents",
  "docs/large.txt": "large ".repeat(20_000),
  "src/a.txt": "a",
  "\u{1f600}.txt": "after \uffff by code point",
  "\uffff.txt": "before it",
};

interface World {
  readonly api: TestApi;
  readonly ada: Client & { readonly text: string };
  /** The same identity with its key. */
  readonly owner: Client;
  /** Makes a repo of ada's, and returns its URL. */
  remote(name: string, visibility?: string): Promise<string>;
  /** A client with ada's token. */
  client(url: string, repo?: MuseRepo): MuseClient;
}

async function withWorld(run: (world: World) => Promise<void>, store?: BlobStore): Promise<void> {
  await using api = await startApi({ worker: false, ...(store ? { store } : {}) });
  const owner = await api.identity("ada"), ada = await api.token(owner);
  await run({
    api,
    ada,
    owner,
    async remote(name, visibility = "public") {
      const json = { owner: "ada", name, visibility };
      assert.equal((await ada.send("/api/repos", { json })).status, 201);
      return `${api.url}/ada/${name}`;
    },
    client: (url, repo) => new MuseClient(url, ada.text, repo),
  });
}

/** Asserts that a request is refused with this status, and that the shown text says why. */
async function assertRefused(asked: Promise<unknown>, status: number, why: RegExp): Promise<void> {
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof Refused, String(error));
    assert.equal(error.status, status, error.message);
    assert.ok(error.text.length <= 400, String(error.text.length));
    assert.match(error.message, why);
    return true;
  });
}

/** Asserts that a clone has the same branches, commits and files. */
async function assertClone(url: string, of: MuseClient): Promise<MuseClient> {
  const clone = await MuseClient.clone(url);
  assert.ok(clone);
  for (const [branch, head] of of.repo.tracked) {
    assert.equal(clone.repo.branches.get(branch), head);
    for (const { commit_id } of of.repo.walk(head, new Set())) {
      assert.deepEqual(clone.repo.commits.get(commit_id), of.repo.commits.get(commit_id));
      assert.deepEqual(clone.repo.files(commit_id), of.repo.files(commit_id));
    }
  }
  return clone;
}

async function workAsPeopleDo(t: Deno.TestContext, { api, remote, client }: World): Promise<void> {
  const url = await remote("one"), ada = client(url);
  await t.step("clone of an empty repo", async () => {
    assert.equal(await MuseClient.clone(url), undefined);
  });
  await t.step("first push", async () => {
    const head = ada.repo.commit("main", FILES, { message: "first" });
    assert.equal(await ada.push("main"), head);
    assert.deepEqual((await ada.refs()).branch_heads, { main: head });
    assert.equal((await ada.refs()).default_branch, "main");
  });
  await t.step("push with nothing new", async () => {
    const before = ada.sent.length;
    await ada.push("main");
    assert.deepEqual(ada.sent.slice(before), ["GET refs"]);
  });
  let bob: MuseClient;
  await t.step("clone", async () => {
    bob = client(url, (await assertClone(url, ada)).repo);
  });
  await t.step("second push of one changed file, and a pull of it", async () => {
    const head = ada.repo.commit("main", { ...FILES, "src/a.txt": "b" }, {
      extra: { metadata: { ticket: "7" }, reviewed_by: ["bob"], test_runs: 3 },
    });
    await ada.push("main");
    assert.equal(await bob.pull("main"), head);
    assert.deepEqual(bob.repo.files(head), ada.repo.files(head));
    assert.deepEqual(bob.repo.commits.get(head), ada.repo.commits.get(head));
  });
  await t.step("a diverged push is refused with 409; after a merge it is taken", async () => {
    ada.repo.commit("main", { ...FILES, "src/b.txt": "ada's" });
    await ada.push("main");
    bob.repo.commit("main", { ...FILES, "src/c.txt": "bob's" });
    await assertRefused(bob.push("main"), 409, /diverged/);
    const merge = await bob.pull("main");
    assert.equal(await bob.push("main"), merge);
    assert.equal(await ada.pull("main"), merge);
    assert.equal(ada.repo.files(merge)["src/c.txt"].length, 5);
  });
  await t.step("a branch that lags behind is no fast-forward", async () => {
    const old = [...ada.repo.commits.keys()][0];
    ada.repo.branches.set("old", old);
    const tip = ada.repo.branches.get("main")!;
    ada.repo.branches.set("main", old);
    await assertRefused(ada.push("main"), 409, /diverged/);
    ada.repo.branches.set("main", tip);
  });
  await t.step("force replaces the head", async () => {
    bob.repo.branches.set("main", [...bob.repo.commits.keys()][0]);
    const head = bob.repo.commit("main", { "only.txt": "forced" });
    await assertRefused(bob.push("main"), 409, /diverged/);
    assert.equal(await bob.push("main", { force: true }), head);
    assert.equal(await ada.fetch("main"), head);
    ada.repo.branches.set("main", head);
  });
  await t.step("new branches, and a clone of all of them", async () => {
    const main = ada.repo.branches.get("main")!;
    ada.repo.branches.set("feature/x", main);
    ada.repo.commit("feature/x", { ...FILES, "x.txt": "x" });
    await ada.push("feature/x");
    ada.repo.branches.set("same", main);
    await ada.push("same");
    const { branch_heads, default_branch } = await ada.refs();
    assert.deepEqual(Object.keys(branch_heads), ["feature/x", "main", "same"]);
    assert.equal(default_branch, "main");
    await assertClone(url, ada);
  });
  await t.step("a second root, without history in common", async () => {
    ada.repo.commit("orphan", { "o.txt": "" }, { parents: [] });
    await ada.push("orphan");
    await assertClone(url, ada);
  });
  assert.equal(await api.fixture.staged(), 0);
}

Deno.test("a client pushes, clones, pulls, merges and forces, on a folder", (t) =>
  withWorld((world) => workAsPeopleDo(t, world)));

Deno.test({
  name: "a client pushes, clones, pulls, merges and forces, on Swift",
  ignore: s3Engine === undefined,
  async fn(t) {
    await using bucket = await makeBucket();
    await withWorld((world) => workAsPeopleDo(t, world), bucket.store);
  },
});

Deno.test("a push that breaks a rule is refused whole", (t) =>
  withWorld(async ({ api, ada, owner, remote, client }) => {
    const url = await remote("one"), me = client(url), { db } = api.fixture;
    me.repo.commit("main", FILES);
    await me.push("main");
    const state = async () => [await api.fixture.dump(), await rows(api), await me.refs()];
    const refuse = async (status: number, why: RegExp, push: () => Promise<unknown>) => {
      const before = await state();
      await assertRefused(push(), status, why);
      assert.deepEqual(await state(), before);
    };
    const bundle = (ids: readonly string[], more: object = {}) => {
      const commits = ids.map((id) => me.repo.commits.get(id)!);
      const snapshots = commits.map(({ snapshot_id }) => me.repo.snapshots.get(snapshot_id)!);
      return { commits, snapshots, objects: [], ...more };
    };
    const send = (value: unknown) => me.send("POST", "push", value);

    await t.step("a parent that nobody has", async () => {
      const cut = me.repo.commit("main", { "a": "a" });
      me.repo.commit("main", { "a": "a" });
      await refuse(422, /parent/, () => me.push("main", { alsoHave: [cut] }));
      me.repo.branches.set("main", me.repo.tracked.get("main")!);
    });
    await t.step("an object that nobody has", async () => {
      const [root] = me.repo.commits.keys();
      const id = me.repo.commit("main", { "a": "never sent" }, { parents: [root] });
      await refuse(422, /object/, () => send({ bundle: bundle([id]), branch: "main" }));
    });
    await t.step("a snapshot that nobody has", async () => {
      const [root] = me.repo.commits.keys();
      const id = me.repo.commit("main", { "a": "a" }, { parents: [root] });
      await refuse(
        422,
        /snapshot/,
        () => send({ bundle: bundle([id], { snapshots: [] }), branch: "main" }),
      );
    });
    await t.step("two tips, or none", async () => {
      const [root] = me.repo.commits.keys();
      const one = me.repo.commit("main", {}, { parents: [root], message: "1" });
      const two = me.repo.commit("main", {}, { parents: [root], message: "2" });
      await refuse(422, /tip/, () => send({ bundle: bundle([one, two]), branch: "main" }));
      await refuse(422, /commit/, () => send({ bundle: bundle([]), branch: "main" }));
    });
    await t.step("a false id", async () => {
      const [root] = me.repo.commits.keys();
      const one = me.repo.commit("main", {}, { parents: [root] });
      const forged = { ...me.repo.commits.get(one)!, message: "another" };
      await refuse(
        422,
        /byte \d+/,
        () => send({ bundle: bundle([one], { commits: [forged] }), branch: "main" }),
      );
    });
    await t.step("a bad name of a branch", async () => {
      const [root] = me.repo.commits.keys();
      const one = me.repo.commit("main", {}, { parents: [root] });
      for (const branch of ["", "a..b", "/a", "a\\b", "x".repeat(256), ".a"]) {
        await refuse(422, /branch/, () => send({ bundle: bundle([one]), branch }));
      }
    });
    await t.step("a body that is none, or is cut", async () => {
      await refuse(422, /bundle/, () => send({ branch: "main" }));
      await refuse(422, /map/, () => send([]));
      const [root] = me.repo.commits.keys();
      const one = me.repo.commit("main", {}, { parents: [root] });
      await refuse(422, /branch/, () => send({ bundle: bundle([one]) }));
      await refuse(422, /./, () => send({ bundle: "text", branch: "main" }));
    });
    await t.step("a body that is not the signed one", async () => {
      const [root] = me.repo.commits.keys();
      const one = me.repo.commit("main", {}, { parents: [root] });
      const body = new Uint8Array(encode({ bundle: bundle([one]), branch: "main" }));
      const before = await state(), other = body.slice();
      // One letter of the branch's name, which comes last.
      other[other.length - 1] ^= 1;
      const headers = { "content-digest": contentDigest(new Uint8Array(sha256(body))) };
      const refused = await owner.send("/ada/one/push", { body: other, headers });
      assert.deepEqual([refused.status, refused.value.code], [400, "digest-mismatch"]);
      assert.deepEqual(await state(), before);
      const taken = await owner.send("/ada/one/push", { body });
      assert.deepEqual([taken.status, taken.value.ok], [200, true]);
    });
    await t.step("without the right to push", async () => {
      const [root] = me.repo.commits.keys();
      const id = me.repo.commit("main", {}, { parents: [root] });
      const body = { bundle: bundle([id]), branch: "main" };
      const stranger = new MuseClient(url), bob = await api.token(await api.identity("bob"));
      await refuse(401, /identity/, () => stranger.send("POST", "push", body));
      await refuse(
        403,
        /collaborators/,
        () => new MuseClient(url, bob.text).send("POST", "push", body),
      );
      await refuse(401, /identity/, () => stranger.send("POST", "push/objects", { objects: [] }));
      assert.equal(ada.identity?.handle, "ada");
    });
    const [{ jobs }] = await db.sql`
      select count(*)::int as jobs from musehub_background_jobs where status in ('pending', 'running')`;
    assert.equal(jobs, 0);
  }));

Deno.test("of two pushes at once one wins, and the other gets 409", () =>
  withWorld(async ({ remote, client }) => {
    const url = await remote("one"), first = client(url);
    const root = first.repo.commit("main", FILES);
    await first.push("main");
    const clients = ["x", "y", "z"].map((name) => {
      const one = client(url, new MuseRepo());
      one.repo.apply({
        commits: [first.repo.commits.get(root)!],
        snapshots: [...first.repo.snapshots.values()],
        objects: [...first.repo.contents].map(([object_id, content]) => ({ object_id, content })),
      });
      one.repo.commit("main", { ...FILES, [name]: name }, { parents: [root] });
      return one;
    });
    const ended = await Promise.allSettled(clients.map((one) => one.push("main")));
    const won = ended.filter(({ status }) => status === "fulfilled");
    assert.equal(won.length, 1);
    for (const end of ended) {
      if (end.status === "rejected") assert.equal(end.reason.status, 409, String(end.reason));
    }
    const [{ value }] = won as PromiseFulfilledResult<string>[];
    assert.equal((await first.refs()).branch_heads.main, value);
  }));

Deno.test("a private repo: no clone without a token; with one, fetch and pull", () =>
  withWorld(async ({ api, remote, client }) => {
    const url = await remote("secret", "private"), me = client(url);
    me.repo.commit("main", FILES);
    await me.push("main");
    const head = me.repo.branches.get("main")!;
    const stranger = new MuseClient(url), other = new MuseClient(`${api.url}/ada/none`);
    for (const one of [stranger, other]) {
      await assertRefused(one.refs(), 404, /Cannot find such a repo/);
      await assertRefused(one.fetchBundle([head], []), 404, /Cannot find such a repo/);
      const body = { want: [head], have: [] };
      await assertRefused(one.send("POST", "negotiate", body), 404, /Cannot find such a repo/);
    }
    const copy = client(url);
    assert.equal(await copy.pull("main"), head);
    assert.deepEqual(copy.repo.files(head), me.repo.files(head));
  }));

Deno.test("a repo reads only its own history, whatever others have pushed", () =>
  withWorld(async ({ remote, client }) => {
    const one = client(await remote("one")), two = client(await remote("two"));
    const head = one.repo.commit("main", FILES);
    await one.push("main");
    const body = { want: [head], have: [head] };
    await assertRefused(two.send("POST", "negotiate", body), 404, /with all its ancestors/);
    await assertRefused(two.fetchBundle([head], []), 404, /does not have it/);
    const tags = [{ tag: "v1", commit_id: head, tag_id: crypto.randomUUID() }];
    await assertRefused(two.send("POST", "tags", { tags }), 422, /no commit/);
    // The same history, pushed to the second repo: nothing of the first one's is missing in it.
    const url = await remote("three"), copy = client(url, one.repo);
    copy.repo.tracked.clear();
    await copy.push("main");
    await assertClone(url, copy);
  }));

async function rows({ fixture: { db } }: TestApi): Promise<unknown> {
  const [row] = await db.sql`select
    (select count(*) from musehub_commits) as a, (select count(*) from musehub_commit_refs) as b,
    (select count(*) from musehub_snapshots) as c, (select count(*) from musehub_snapshot_refs) as d,
    (select count(*) from musehub_commit_graph) as e, (select count(*) from musehub_branches) as f,
    (select count(*) from mpack_staged_records) as g`;
  return row;
}
