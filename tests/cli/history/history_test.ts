import assert from "node:assert/strict";
import { MadeHistory } from "../../support/history/make_history.ts";
import { indexHistory } from "../../support/history/record_history.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { runMain, startMain } from "../../support/process/main.ts";

Deno.test("refs, log, show and ls-tree show a history", async (t) => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const history = new MadeHistory();
  const root = history.commit({ files: { "a.txt": "a", "dir/b": "b", "dir/sub/c": "c" } });
  const side = history.commit({
    parents: [root],
    author: "bob\nDate: never",
    message: "side \x1b[2J",
  });
  const head = history.commit({
    parents: [root, side],
    files: { "a.txt": "new", "dir.x": "", "dir/b": "b" },
    message: "merge side\n\nwith a body",
    extra: { branch: "feat/x", reviewed_by: ["eve"], test_runs: 2, metadata: { k: "v" } },
  });
  await indexHistory(fixture, history.pack());
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${repoId}, 'main', ${head}), (${repoId}, 'feat:x', ${side})`;
  await db
    .sql`insert into musehub_tags (repo_id, tag, commit_id) values (${repoId}, 'v1', ${root})`;
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runMain([...args, "--repo", "me/repo"], env);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const short = (id: string) => id.slice(7, 19);
  const json = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line));

  await t.step("refs", async () => {
    assert.equal(
      await run("refs"),
      `  ${short(side)}  feat:x\n* ${short(head)}  main\n  ${short(root)}  tag: v1\n`,
    );
    const [{ default_branch, branches, tags }] = json(await run("refs", "--json"));
    assert.equal(default_branch, "main");
    assert.deepEqual(branches[1], { name: "main", head_commit_id: head });
    assert.deepEqual([tags[0].tag, tags[0].commit_id], ["v1", root]);
  });
  await t.step("log draws merges, and shows control characters", async () => {
    assert.equal(
      await run("log"),
      [
        `*   commit ${short(head)} (main)`,
        `|\\  Merge:  ${short(root)} ${short(side)}`,
        "| | Author: ada",
        "| | Date:   2026-11-01 00:02:00 +0000",
        "| |",
        "| |     merge side",
        "| |",
        "| |     with a body",
        "| |",
        `| * commit ${short(side)} (feat:x)`,
        "|/  Author: bob Date: never",
        "|   Date:   2026-11-01 00:01:00 +0000",
        "|",
        "|       side \\u001b[2J",
        "|",
        `* commit ${short(root)} (tag: v1)`,
        "  Author: ada",
        "  Date:   2026-11-01 00:00:00 +0000",
        "",
        "      commit 1",
        "",
        "",
      ].join("\n"),
    );
  });
  await t.step("log --oneline and --json, from a prefix", async () => {
    assert.equal(
      await run("log", short(side).slice(0, 8), "--oneline"),
      `* ${short(side)}  2026-11-01  side \\u001b[2J  <bob Date: never> (feat:x)\n` +
        `* ${short(root)}  2026-11-01  commit 1  <ada> (tag: v1)\n`,
    );
    const [first, ...rest] = json(await run("log", "main", "--json", "-n", "2"));
    assert.deepEqual(first, {
      commit_id: head,
      parent_ids: [root, side],
      snapshot_id: history.commits.get(head)!.snapshotId,
      author: "ada",
      committed_at: "2026-11-01T00:02:00.000000+00:00",
      message: "merge side\n\nwith a body",
      names: ["main"],
    });
    assert.equal(rest.length, 1);
  });
  await t.step("show", async () => {
    const shown = await run("show", "main");
    assert.match(shown, new RegExp(`^commit {9}${head}\nparent {9}${root}\n`));
    assert.match(
      shown,
      /\nmetadata {7}k: v\nreviewed by {4}eve\ntest runs {6}2\n/,
    );
    assert.match(shown, /\n {4}with a body\n\nM a.txt\nA dir.x\nD dir\/sub\/c\n$/);
    const [commit, ...changes] = json(await run("show", "v1", "--json"));
    assert.equal(commit.commit_id, root);
    assert.deepEqual(changes.map(({ path, before }) => [path, before]), [
      ["a.txt", null],
      ["dir/b", null],
      ["dir/sub/c", null],
    ]);
  });
  await t.step("ls-tree", async () => {
    const names = (text: string) => text.trimEnd().split("\n").map((line) => line.slice(73));
    assert.deepEqual(names(await run("ls-tree", "v1")), ["a.txt", "dir/"]);
    assert.deepEqual(names(await run("ls-tree", `${root}:dir`)), ["dir/b", "dir/sub/"]);
    assert.deepEqual(names(await run("ls-tree", "-r", "main:dir/")), ["dir/b"]);
    const { manifest } = history.snapshots.get(history.commits.get(head)!.snapshotId)!;
    assert.deepEqual(json(await run("ls-tree", "main:a.txt", "--json")), [
      { type: "file", path: "a.txt", object_id: manifest.get("a.txt") },
    ]);
    const { code, stderr } = await runMain(["ls-tree", "feat:x:dir", "--repo", "me/repo"], env);
    assert.equal(code, 3);
    assert.match(stderr, /Cannot find "dir" in this commit \(history-not-found\)/);
  });
  await t.step("bundle, and index --branches", async () => {
    const file = `${fixture.folder}/../${repoId.slice(7)}.mpack`;
    try {
      const [counts] = json(await run("bundle", "--to", file, "--json"));
      assert.deepEqual([counts.commits, counts.branches, counts.tags], [3, 2, 1]);
      assert.equal((await Deno.stat(file)).size, counts.size_bytes);
      const args = ["index", file, "--branches", "--repo", "me/copy", "--create"];
      const { code, stdout, stderr } = await runMain(args, env);
      assert.equal(code, 0, stderr);
      assert.match(stdout, new RegExp(`\n  branch      main moved to ${head}\n`));
      const [copy] = json((await runMain(["refs", "--repo", "me/copy", "--json"], env)).stdout);
      assert.deepEqual(copy, json(await run("refs", "--json"))[0]);
      const failed = await runMain(
        ["bundle", "--repo", "me/repo", "--branch", "none", "--to", `${file}.2`],
        env,
      );
      assert.equal(failed.code, 3);
      await assert.rejects(() => Deno.stat(`${file}.2`), Deno.errors.NotFound);
    } finally {
      await Deno.remove(file);
    }
  });
  await t.step("a reader that stops early is no error", async () => {
    const child = startMain(["log", "--repo", "me/repo"], env, {
      through: ["sh", "-c", '"$@" | head -n 1; exit 0', "sh"],
    });
    const { stdout, stderr } = await child.output();
    assert.equal(new TextDecoder().decode(stdout), `*   commit ${short(head)} (main)\n`);
    assert.equal(new TextDecoder().decode(stderr), "");
  });
});
