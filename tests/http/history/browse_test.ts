import assert from "node:assert/strict";
import { createRepo } from "../../../src/db/repos.ts";
import { startApi, type TestApi } from "../../support/http/api.ts";
import { mpackKey } from "../../support/mpack/mpacks.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { indexHistory } from "../../support/history/record_history.ts";

const FILES = {
  "README.md": "read me",
  "docs.txt": "sorts before docs/",
  "docs/a b.md": "a",
  "docs/un été.md": "b",
  "docs/deep/er/c.md": "c",
  "docs/deep/er/d.md": "d",
  "docs0": "sorts after docs/",
  ["__proto__"]: "a name like any other",
  "src/main.ts": "main",
};

/** A history of two commits, the second at the head of `main`. */
async function browsed(api: TestApi): Promise<{ first: string; head: string; snapshot: string }> {
  const made = new MadeHistory();
  const first = made.commit({ files: { "README.md": "first" } });
  const head = made.commit({
    files: FILES,
    message: "second\n\nwith a body",
    extra: { metadata: new Map([["ticket", "7"]]), reviewed_by: ["bob"], test_runs: 2 },
  });
  await indexHistory(api.fixture, made.pack());
  const { db, repo: { repoId } } = api.fixture;
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${repoId}, 'main', ${head}), (${repoId}, 'feat/x', ${first})`;
  await db.sql`update musehub_repos set visibility = 'public' where repo_id = ${repoId}`;
  return { first, head, snapshot: made.commits.get(head)!.snapshotId };
}

Deno.test("GET commits/ID shows a commit, by its id or a branch's name", async (t) => {
  await using api = await startApi({ worker: false });
  const { first, head, snapshot } = await browsed(api);
  const get = (path: string, headers = {}) =>
    api.anonymous.send(`/me/repo/commits/${path}`, { headers });
  await t.step("what it is", async () => {
    const { status, value, headers } = await get(head);
    assert.equal(status, 200);
    const { commit_id, parent_ids, snapshot_id, author, message, metadata, reviewed_by } = value;
    assert.deepEqual([commit_id, parent_ids, snapshot_id], [head, [first], snapshot]);
    assert.deepEqual([author, message], ["ada", "second\n\nwith a body"]);
    assert.deepEqual([metadata, reviewed_by, value.test_runs], [{ ticket: "7" }, ["bob"], 2]);
    assert.equal(headers.get("etag"), `"${head}"`);
  });
  await t.step("branches, with slashes too", async () => {
    assert.equal((await get("main")).value.commit_id, head);
    assert.equal((await get("feat%2Fx")).value.commit_id, first);
  });
  await t.step("304 for who has it, until it is annotated anew", async () => {
    const known = { "if-none-match": `"${head}"` };
    assert.equal((await get(head, known)).status, 304);
    await api.fixture.db.sql`update musehub_commit_refs
      set annotations = '{"metadata": {}, "reviewed_by": ["eve"], "test_runs": 9}',
        annotations_merged = true where commit_id = ${head}`;
    const { status, value, headers } = await get(head, known);
    assert.deepEqual([status, value?.reviewed_by, value?.test_runs], [200, ["eve"], 9]);
    assert.equal((await get(head, { "if-none-match": headers.get("etag")! })).status, 304);
  });
  await t.step("404 for what is not there", async () => {
    assert.equal((await get(first.slice(0, 20))).value.commit_id, first);
    for (const name of ["9".repeat(64), "none", "%00", first.slice(0, 3)]) {
      const { status, value } = await get(name);
      assert.deepEqual([status, value.code], [404, "history-not-found"], name);
    }
  });
});

Deno.test("GET commits lists a branch's commits, page by page", async (t) => {
  await using api = await startApi({ worker: false });
  const empty = await api.admin.send("/me/repo/commits");
  assert.deepEqual([empty.status, empty.value], [200, { commits: [], next: null }]);
  const made = new MadeHistory();
  const root = made.commit({ message: "root" });
  const sides = [1, 2].map((i) => made.commit({ parents: [root], message: `side ${i}` }));
  const head = made.commit({ parents: sides, message: "merge" });
  await indexHistory(api.fixture, made.pack());
  const { db, repo: { repoId } } = api.fixture;
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${repoId}, 'main', ${head}), (${repoId}, 'side/1', ${sides[0]})`;
  const get = (query: string, headers = {}) =>
    api.admin.send(`/me/repo/commits?${query}`, { headers });
  await t.step("all of them, children before parents", async () => {
    const { value, headers } = await get("");
    const { commits, next } = value;
    assert.deepEqual(commits.map((commit: { commit_id: string }) => commit.commit_id), [
      head,
      sides[1],
      sides[0],
      root,
    ]);
    assert.deepEqual(commits[0].parent_ids, sides);
    assert.deepEqual([commits[3].message, commits[3].author, next], ["root", "ada", null]);
    assert.equal(headers.get("etag"), `"${head}"`);
    assert.equal((await get("", { "if-none-match": `"${head}"` })).status, 304);
  });
  await t.step("pages of any length", async () => {
    for (const limit of [1, 2, 3, 4]) {
      const found: string[] = [];
      for (let before = "";;) {
        const { value } = await get(`branch=main&limit=${limit}${before}`);
        found.push(...value.commits.map((commit: { message: string }) => commit.message));
        if (value.next === null) break;
        before = `&before=${value.next}`;
      }
      assert.deepEqual(found, ["merge", "side 2", "side 1", "root"], String(limit));
    }
  });
  await t.step("of another branch, or a commit", async () => {
    for (const branch of ["side%2F1", sides[0]]) {
      const { value } = await get(`branch=${branch}`);
      assert.deepEqual(value.commits.map((commit: { message: string }) => commit.message), [
        "side 1",
        "root",
      ]);
    }
  });
  await t.step("what is not there, or no query", async () => {
    assert.equal((await get("branch=none")).status, 404);
    const unknown = await get(`before=${"9".repeat(64)}`);
    assert.equal(unknown.status, 404);
    // Another repo's commit is as unknown as one that nobody has; so is one beside a known one.
    const { repo } = await createRepo(db, { owner: "me", slug: "other" });
    const theirs = new MadeHistory().commit({ message: "theirs" });
    await db.sql`insert into musehub_commit_graph
      (repo_id, commit_id, parent_ids, generation, depth, jump_id, sort_time)
      values (${repo.repoId}, ${theirs}, '{}', 1, 1, ${theirs}, 1)`;
    for (const before of [theirs, `${root},${theirs}`]) {
      const { status, value } = await get(`before=${before}`);
      assert.deepEqual([status, value.code], [404, unknown.value.code]);
      assert.equal(value.detail, unknown.value.detail.replace("9".repeat(64), theirs));
    }
    for (const query of ["before=x", "limit=0", "limit=2000", `before=${root},`, "before="]) {
      assert.equal((await get(query)).status, 400, query);
    }
  });
});

Deno.test("GET tree lists folders of a commit, page by page", async (t) => {
  await using api = await startApi({ worker: false });
  const { head } = await browsed(api);
  const get = (path: string) => api.anonymous.send(`/me/repo/tree/${path}`);
  const names = (value: { entries: { name: string; type: string }[] }) =>
    value.entries.map(({ name, type }) => type === "folder" ? `${name}/` : name);
  const ROOT = ["README.md", "__proto__", "docs.txt", "docs/", "docs0", "src/"];
  await t.step("the root", async () => {
    for (const path of [head, "main", `${head}/`, "main/"]) {
      const { value, headers } = await get(path);
      assert.deepEqual(names(value), ROOT, path);
      assert.deepEqual([value.commit_id, value.path, value.next], [head, "", null]);
      assert.equal(headers.get("etag"), `"${head}"`);
      assert.match(value.entries[0].object_id, /^sha256:/);
    }
  });
  await t.step("folders", async () => {
    assert.deepEqual(names((await get(`${head}/docs`)).value), ["a b.md", "deep/", "un été.md"]);
    assert.deepEqual(names((await get(`${head}/docs/`)).value), ["a b.md", "deep/", "un été.md"]);
    assert.deepEqual(names((await get(`${head}/docs/deep/er`)).value), ["c.md", "d.md"]);
  });
  await t.step("pages of any length", async () => {
    for (const limit of [1, 2, 3, 5, 6]) {
      const found: string[] = [];
      for (let next: string | null = "";;) {
        const after: string = next === "" ? "" : `&after=${encodeURIComponent(next)}`;
        const { value } = await get(`${head}?limit=${limit}${after}`);
        found.push(...names(value));
        assert.ok(value.entries.length <= limit);
        if ((next = value.next) === null) break;
      }
      assert.deepEqual(found, ROOT, String(limit));
    }
  });
  await t.step("404 for what is no folder", async () => {
    for (const path of ["none", "README.md", "doc", "docs/dee", "docs/deep/er/c.md"]) {
      const { status, value } = await get(`${head}/${encodeURIComponent(path)}`);
      assert.deepEqual([status, value.code], [404, "history-not-found"], path);
    }
  });
  await t.step("304 for who has it", async () => {
    const headers = { "if-none-match": `"x", W/"${head}"` };
    for (const path of ["", "/docs"]) {
      const { status, value } = await api.anonymous.send(`/me/repo/tree/${head}${path}`, {
        headers,
      });
      assert.deepEqual([status, value], [304, undefined], path);
    }
    for (const path of ["none", "README.md"]) {
      const { status } = await api.anonymous.send(`/me/repo/tree/${head}/${path}`, { headers });
      assert.equal(status, 404, `${path}: the ETag is the commit's`);
    }
  });
});

Deno.test("GET blob sends a file of a commit, whole or in part", async () => {
  await using api = await startApi({ worker: false });
  const { first, head } = await browsed(api);
  const get = (path: string, headers = {}) =>
    api.anonymous.send(`/me/repo/blob/${path}`, { headers });
  const text = ({ bytes }: { bytes: Uint8Array }) => new TextDecoder().decode(bytes);
  const whole = await get(`${head}/README.md`);
  assert.deepEqual([whole.status, text(whole)], [200, "read me"]);
  const etag = whole.headers.get("etag")!;
  assert.equal(etag, `"${mpackKey(new TextEncoder().encode("read me"))}"`);
  assert.match(whole.headers.get("cache-control")!, /immutable/);
  assert.equal(text(await get(`${first}/README.md`)), "first");
  assert.equal(text(await get(`${head}/docs/${encodeURIComponent("un été.md")}`)), "b");
  assert.equal(text(await get(`${head}/docs/deep/er/c.md`)), "c");
  const part = await get(`${head}/README.md`, { range: "bytes=0-3" });
  assert.deepEqual([part.status, text(part)], [206, "read"]);
  const last = await get(`${head}/README.md`, { range: "bytes=-2" });
  assert.deepEqual([last.headers.get("content-range"), text(last)], ["bytes 5-6/7", "me"]);
  const beyond = await get(`${head}/README.md`, { range: "bytes=7-" });
  assert.deepEqual([beyond.status, beyond.headers.get("content-range")], [416, "bytes */7"]);
  assert.equal((await get(`${head}/README.md`, { "if-none-match": etag })).status, 304);
  const ofHead = await api.anonymous.send(`/me/repo/blob/${head}/README.md`, { method: "HEAD" });
  const { bytes: { length }, headers } = ofHead;
  assert.deepEqual([length, headers.get("content-length"), headers.get("etag")], [0, "7", etag]);
  const ofBranch = await get("main/README.md");
  assert.deepEqual([text(ofBranch), ofBranch.headers.get("etag")], ["read me", etag]);
  assert.match(ofBranch.headers.get("cache-control")!, /no-cache/);
  for (const path of ["docs", "docs/", "none", "README.md/x", "%00"]) {
    const { status, value } = await get(`${head}/${path}`);
    assert.deepEqual([status, value.code], [404, "history-not-found"], path);
  }
});

Deno.test("a private repo's history is masked from strangers", async () => {
  await using api = await startApi({ worker: false });
  const { head } = await browsed(api), { db, repo: { repoId } } = api.fixture;
  await db.sql`update musehub_repos set visibility = 'private' where repo_id = ${repoId}`;
  const shown = async (path: string) => {
    const { status, value } = await api.anonymous.send(path);
    return [status, value.code, value.detail];
  };
  for (
    const route of [
      `commits/${head}`,
      `tree/${head}`,
      `tree/${head}/docs`,
      "tree/main",
      "blob/main/README.md",
    ]
  ) {
    assert.deepEqual(await shown(`/me/repo/${route}`), await shown(`/me/none/${route}`));
    assert.equal((await shown(`/me/repo/${route}`))[0], 404);
  }
});
