import assert from "node:assert/strict";
import { findHandle } from "../../../src/db/identities.ts";
import { startApi, type TestApi } from "../../support/http/api.ts";
import { sampleBytes } from "../../support/store/blobs.ts";
import { runMain } from "../../support/process/main.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { snapshotRecord } from "../../support/history/records.ts";

/** Longer than socket buffers: the refusal must arrive while the pack is being sent. */
const CONTENT = sampleBytes(20_000_000, 1);
const ID = mpackKey(CONTENT);
const PACK = buildMpack({ objects: [object({ content: CONTENT })] });
const GHOST = `sha256:${"9".repeat(64)}`;
const GHOSTLY = buildMpack({
  snapshots: [snapshotRecord({ a: ID, b: GHOST })],
  objects: [],
});

interface Remote extends AsyncDisposable {
  readonly api: TestApi;
  /** The file of a private key. */
  readonly keyFile: string;
  /** Runs `push` on a pack. */
  push(pack: Uint8Array, ...args: string[]): ReturnType<typeof runMain>;
}

async function startRemote(): Promise<Remote> {
  const api = await startApi({ worker: false });
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const keyFile = `${folder}/me.pem`, env = { DATABASE_URL: api.fixture.databaseUrl };
  const made = await runMain(["identity", "create", "me", "--key", keyFile], env);
  assert.equal(made.code, 0, made.stderr);
  return {
    api,
    keyFile,
    async push(pack, ...args) {
      await Deno.writeFile(`${folder}/pack`, pack);
      const remote = args.includes("--remote") ? [] : ["--remote", api.url];
      return await runMain(["push", `${folder}/pack`, "--repo", "me/repo", ...remote, ...args]);
    },
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

Deno.test("push reports the outcome in its exit code and as JSON", async (t) => {
  await using remote = await startRemote();
  const { api, keyFile, push } = remote;
  await t.step("refused without an identity, in the middle of a long pack: 2", async () => {
    const { code, stdout, stderr } = await push(PACK, "--json");
    assert.equal(code, 2, stderr);
    // A private repo is answered like one that does not exist.
    assert.equal(JSON.parse(stdout).error.code, "repo-not-found");
  });
  await t.step("refused when signed with an unknown key: 2", async () => {
    const other = `${keyFile}.other`;
    const openssl = ["genpkey", "-algorithm", "ed25519", "-out", other];
    assert.ok((await new Deno.Command("openssl", { args: openssl }).output()).success);
    const { code, stdout } = await push(PACK, "--json", "--key", other);
    assert.equal(code, 2);
    assert.match(JSON.parse(stdout).error.message, /not a known identity/);
    const none = await push(PACK, "--key", `${keyFile}.none`);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /Cannot read the key/);
  });
  await t.step("accepted when signed: 0", async () => {
    const { code, stdout, stderr } = await push(PACK, "--json", "--key", keyFile);
    assert.equal(code, 0, stderr);
    const result = JSON.parse(stdout);
    assert.equal(result.mpack_key, mpackKey(PACK));
    assert.equal(result.objects_written, 1);
    assert.equal(result.size_bytes, PACK.length);
    assert.deepEqual(result.warnings, ["no-manifest"]);
  });
  await t.step("accepted with a token: 0", async () => {
    const env = { DATABASE_URL: api.fixture.databaseUrl };
    const made = await runMain(["token", "create", "me"], env);
    assert.equal(made.code, 0, made.stderr);
    const [token] = /mpk_\S+/.exec(made.stdout)!;
    const tokenFile = `${keyFile}.token`;
    await Deno.writeTextFile(tokenFile, `${token}\n`);
    const { code, stdout, stderr } = await push(PACK, "--token-file", tokenFile);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Pushed sha256:[0-9a-f]{64} to me\/repo: 1 object, 0 new to it\n$/);
    // No progress line: stderr is not a terminal.
    assert.match(stderr, /^Warning: no manifest names the objects: [^\n]+\n$/);
  });
  await t.step("refused with ghosts, which are named: 3", async () => {
    const { code, stdout, stderr } = await push(GHOSTLY, "--json", "--key", keyFile);
    assert.equal(code, 3, stderr);
    const { error } = JSON.parse(stdout);
    assert.equal(error.code, "ghost-objects");
    assert.deepEqual(error.missing, [GHOST]);
    assert.equal(error.missing_count, 1);
  });
  await t.step("refused when truncated, with the offset: 3", async () => {
    const { code, stdout } = await push(PACK.slice(0, 1000), "--json", "--key", keyFile);
    assert.equal(code, 3);
    const { error } = JSON.parse(stdout);
    assert.deepEqual([error.code, error.retryable], ["truncated", false]);
    assert.equal(error.offset_bytes, 1000);
  });
  await t.step("server not reachable: 4", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    const away = ["--remote", `http://127.0.0.1:${port}`];
    const { code, stdout } = await push(GHOSTLY, "--json", "--key", keyFile, ...away);
    assert.equal(code, 4);
    const { error } = JSON.parse(stdout);
    assert.deepEqual([error.code, error.retryable], ["server-unavailable", true]);
  });
  await t.step("neither URL nor file: 2", async () => {
    assert.equal((await push(PACK, "--remote", "here")).code, 2);
    const none = await runMain(["push", "none", "--repo", "me/repo", "--remote", api.url]);
    assert.equal(none.code, 2);
  });
});

Deno.test("push waits for Retry-After when the server is busy, then tries again", async () => {
  await using remote = await startRemote();
  const { api, keyFile, push } = remote;
  const seen: { at: number; signature: string | null }[] = [];
  const answers = [
    new Response("{}", { status: 429, headers: { "retry-after": "1" } }),
    new Response("not JSON", { status: 503, headers: { "retry-after": new Date().toUTCString() } }),
  ];
  // A proxy that reads the whole pack before it answers that it is busy.
  await using busy = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { headers, method } = request, { pathname } = new URL(request.url);
      seen.push({ at: performance.now(), signature: headers.get("signature") });
      const body = await request.arrayBuffer();
      return answers.shift() ?? await fetch(api.url + pathname, { method, headers, body });
    },
  );
  const { hostname, port } = busy.addr;
  const pack = buildMpack({ objects: [object({ content: new Uint8Array(9) })] });
  const identity = await findHandle(api.fixture.db, "me");
  const token = await api.token({ ...api.anonymous, identity });
  const url = `http://${hostname}:${port}`;
  const { code, stderr } = await push(pack, "--remote", url, "--token", token.text);
  assert.equal(code, 0, stderr);
  assert.equal(seen.length, 3);
  assert.ok(seen[1].at - seen[0].at >= 1000);
  // Each attempt gets a new signature: a used one is not accepted.
  answers.push(new Response("{}", { status: 429, headers: { "retry-after": "0" } }));
  seen.length = 0;
  await push(pack, "--remote", url, "--key", keyFile);
  assert.equal(new Set(seen.map(({ signature }) => signature)).size, seen.length);
  // At most five attempts.
  for (let i = 0; i < 9; i++) {
    answers.push(new Response(null, { status: 503, headers: { "retry-after": "0" } }));
  }
  seen.length = 0;
  const last = await push(pack, "--remote", url, "--token", token.text, "--json");
  assert.equal(last.code, 4);
  assert.equal(seen.length, 5);
  assert.equal(JSON.parse(last.stdout).error.message, `Cannot push: ${url} answered 503`);
});

Deno.test("push --branch moves the branch, or leaves nothing", async (t) => {
  await using remote = await startRemote();
  const { api: { fixture: { db } }, keyFile } = remote;
  const push = (bytes: Uint8Array, ...args: string[]) =>
    remote.push(bytes, "--key", keyFile, "--branch", "feat/é", ...args);
  const history = new MadeHistory(), root = history.commit({ files: { a: "a" } });
  const head = history.commit({ files: { a: "b" } });
  const other = history.commit({ parents: [root], files: { a: "c" } });
  const heads =
    async () => [...await db.sql`select name, head_commit_id as head from musehub_branches`];

  await t.step("a new branch", async () => {
    const { code, stdout, stderr } = await push(history.pack({ commits: [root, head] }).bytes);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`\nBranch feat/é moved to ${head}\n$`));
    assert.deepEqual(await heads(), [{ name: "feat/é", head }]);
  });
  await t.step("again", async () => {
    const { stdout } = await push(history.pack({ commits: [root, head] }).bytes);
    assert.match(stdout, new RegExp(`\nBranch feat/é is at ${head} already\n$`));
  });
  const pack = history.pack({ commits: [other] }).bytes;
  await t.step("a history that has diverged: 3, and no row", async () => {
    const { code, stdout } = await push(pack, "--json");
    assert.equal(code, 3);
    assert.equal(JSON.parse(stdout).error.code, "diverged");
    assert.deepEqual(await heads(), [{ name: "feat/é", head }]);
    const rows = await db.sql`select from musehub_commit_refs where commit_id = ${other}`;
    assert.equal(rows.length, 0);
  });
  await t.step("forced", async () => {
    const { code, stdout, stderr } = await push(pack, "--force", "--json");
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).branch, { name: "feat/é", head: other, moved: true });
    assert.deepEqual(await heads(), [{ name: "feat/é", head: other }]);
  });
  await t.step("options that make no sense: 2", async () => {
    assert.equal((await push(pack, "--branch", "a..b")).code, 2);
    assert.equal((await remote.push(pack, "--key", keyFile, "--force")).code, 2);
  });
});
