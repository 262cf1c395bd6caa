import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { checkPath } from "../../../src/cli/clone/check_out.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { indexHistory } from "../../support/history/record_history.ts";
import { startServer } from "../../support/http/server_process.ts";
import { runMain } from "../../support/process/main.ts";

async function filesIn(folder: string, prefix = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${prefix}`)) {
    const path = `${prefix}${name}`;
    if (isDirectory) Object.assign(found, await filesIn(folder, `${path}/`));
    else found[path] = await Deno.readTextFile(`${folder}/${path}`);
  }
  return found;
}

Deno.test("clone writes the files of the default branch, and its history as a pack", async () => {
  await using server = await startServer();
  const { fixture, url, openToken } = server;
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  try {
    const history = new MadeHistory();
    const root = history.commit({ files: { old: "old" } });
    const files = { empty: "", "dir/ü \u{1f3b5}": "text", large: "x".repeat(3_000_000) };
    history.commit({ files });
    const side = history.commit({ parents: [root], files: { side: "side" } });
    const [, head] = history.commits.keys();
    await indexHistory(fixture, history.pack({ commits: [root, head] }), { branch: "trunk" });
    await indexHistory(fixture, history.pack({ commits: [side] }), { branch: "a-side" });
    const clone = (to: string, ...more: string[]) =>
      runMain(["clone", `${url}/me/repo/`, to, "--token", openToken, ...more]);
    const { code, stdout, stderr } = await clone(`${folder}/copy`, "--json");
    assert.equal(code, 0, stderr);
    const { ".mpackd/history.mpack": pack, ...found } = await filesIn(`${folder}/copy`);
    assert.deepEqual(found, files);
    const result = JSON.parse(stdout);
    const { branch, branches, commits } = result;
    assert.deepEqual([branch, result.head, branches, commits], ["trunk", head, 2, 3]);
    assert(pack.length > 0);
    const file = `${folder}/copy/.mpackd/history.mpack`;
    const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
    const index = ["index", file, "--branches", "--create", "--repo", "me/copy", "--json"];
    const indexed = await runMain(index, env);
    assert.equal(indexed.code, 0, indexed.stderr);
    const moved = JSON.parse(indexed.stdout).branches as { name: string; moved: boolean }[];
    assert.deepEqual(moved.map(({ name, moved }) => [name, moved]).sort(), [
      ["a-side", true],
      ["trunk", true],
    ]);
    const again = await clone(`${folder}/copy`);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /it is not empty/);
    assert.equal((await clone(`${folder}/other`, "--branch", "a-side")).code, 0);
    assert.deepEqual((await filesIn(`${folder}/other`)).side, "side");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("clone leaves nothing when it fails", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const history = new MadeHistory();
  history.commit({ files: { "a.txt": "a", "b.txt": "b" } });
  const evil = new MadeHistory();
  evil.commit({ files: { "a.txt": "a", "../../evil": "evil" } });
  const hidden = new MadeHistory();
  hidden.commit({ files: { ".Mpackd/history.mpack": "evil" } });
  const lie = new MadeHistory();
  lie.commit({ files: { "a.txt": "a" } });
  const [lieId] = lie.contents.keys();
  const lying = lie.pack({ objects: [], extra: {} });
  const withLie = new Uint8Array(lie.pack({ extra: {} }).bytes);
  const at = withLie.lastIndexOf("a".charCodeAt(0));
  withLie[at] ^= 1;
  const whole = history.pack().bytes;
  const cases: [string, MadeHistory, Uint8Array, number, RegExp][] = [
    ["a path that leaves the folder", evil, evil.pack().bytes, 3, /bad-path/],
    ["a path into the history's folder", hidden, hidden.pack().bytes, 3, /keeps its history/],
    ["an object with other bytes", lie, withLie, 3, /object-mismatch/],
    ["an object that is not there", lie, lying.bytes, 3, new RegExp(`not sent object ${lieId}`)],
    ["an answer that is cut short", history, whole.slice(0, -100), 3, /truncated/],
    ["an answer that is no pack", history, encode("no"), 3, /unexpected-shape/],
  ];
  let answer: Uint8Array = new Uint8Array(), head = "", status = 200;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const refs = encode({ default_branch: "main", branch_heads: { main: head } });
    const body = request.url.endsWith("/refs") ? refs : new Uint8Array(answer);
    return new Response(body, { status });
  });
  const clone = () =>
    runMain(["clone", `http://127.0.0.1:${server.addr.port}/me/repo`, `${folder}/copy`]);
  try {
    for (const [name, made, bytes, code, text] of cases) {
      await t.step(name, async () => {
        [head] = made.commits.keys();
        answer = bytes;
        const ended = await clone();
        assert.match(ended.stderr, text);
        assert.equal(ended.code, code);
        assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
      });
    }
    await t.step("a refusal", async () => {
      status = 404;
      const { code, stderr } = await clone();
      assert.equal(code, 2);
      assert.match(stderr, /it answered 404/);
      assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    });
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("checkPath() refuses what would be written elsewhere", () => {
  for (const path of ["a", "a/b", "a..b/.c", "dir.mpackd/x", "ü", "x/.mpackd"]) checkPath(path);
  const bad = ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\\..\\b", "\\a", "a\0b"];
  for (const path of [...bad, ".mpackd/x", ".MPACKD", ".mpackd./x"]) {
    assert.throws(() => checkPath(path), { code: "record-mismatch" }, path);
  }
});
