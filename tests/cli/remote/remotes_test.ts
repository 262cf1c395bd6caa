import assert from "node:assert/strict";
import { MadeHistory } from "../../support/history/make_history.ts";
import { startApi } from "../../support/http/api.ts";
import { startMain } from "../../support/process/main.ts";

Deno.test("login and remote save who and where, and push, clone and fetch use it", async (t) => {
  await using api = await startApi({ worker: false });
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const me = await api.identity("me"), { text: token } = await api.token(me);
  const saved = `${folder}/config/mpackd/remotes.json`;
  const outputs: string[] = [];
  const run = async (args: string[], input?: string) => {
    const env = { XDG_CONFIG_HOME: `${folder}/config` };
    const child = startMain(args, env, {
      cwd: folder,
      stdin: input === undefined ? "null" : "piped",
    });
    if (input !== undefined) {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(input));
      await writer.close();
    }
    const { code, stdout, stderr } = await child.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    outputs.push(text(stdout), text(stderr));
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };
  const history = new MadeHistory(), head = history.commit({ files: { a: "text" } });
  await Deno.writeFile(`${folder}/pack`, history.pack().bytes);
  const url = `${api.url}/me/repo`;
  try {
    await t.step("a token that the server does not accept is not saved", async () => {
      const { code, stderr } = await run(["login", api.url], "mpk_wrong_token\n");
      assert.equal(code, 2, stderr);
      assert.equal((await run(["login", api.url], "\n")).code, 2);
      await assert.rejects(Deno.stat(saved), Deno.errors.NotFound);
    });
    await t.step("login reads the token from stdin into a file of one's own", async () => {
      const { code, stderr } = await run(["login", `${api.url}/`], `${token}\n`);
      assert.equal(code, 0, stderr);
      assert.equal((await Deno.stat(saved)).mode! & 0o777, 0o600);
    });
    await t.step("remote", async () => {
      assert.equal(
        (await run(["remote", "add", "origin", `${url}/`])).stdout,
        `origin is ${url}\n`,
      );
      const { remotes, logins } = JSON.parse((await run(["remote", "list", "--json"])).stdout);
      assert.deepEqual(remotes, [{ name: "origin", url }]);
      assert.deepEqual(logins, [{ url: api.url, by: "token" }]);
      for (const wrong of [api.url, "here", "http://me:secret@host/a/b", `${url}?x=1`]) {
        const { code, stderr } = await run(["remote", "add", "other", wrong]);
        assert.deepEqual([code, stderr.includes("secret")], [2, false], wrong);
      }
    });
    await t.step("push, to origin unless another one is named", async () => {
      const pushed = await run(["push", "origin", "pack", "--branch", "main"]);
      assert.equal(pushed.code, 0, pushed.stderr);
      assert.equal((await run(["push", "pack"])).code, 0);
      assert.equal((await run(["push", url, "pack"])).code, 0);
      const misspelt = await run(["push", "pack", "--remote", "orgin"]);
      assert.deepEqual([misspelt.code, /did you mean origin\?/.test(misspelt.stderr)], [2, true]);
      // Another server does not get the token.
      const other = await run([
        "push",
        "pack",
        "--remote",
        api.url.replace("127.0.0.1", "localhost"),
        "--repo",
        "me/repo",
      ]);
      assert.equal(other.code, 2, other.stderr);
    });
    await t.step("fetch and clone", async () => {
      const fetched = await run(["fetch", "origin", "--to", "history.mpack", "--json"]);
      assert.deepEqual(JSON.parse(fetched.stdout).branches, { main: head });
      const checked = await run(["check", "history.mpack", "--json"]);
      assert.equal(JSON.parse(checked.stdout).counts.commits, 1);
      const cloned = await run(["clone", "origin", "copy"]);
      assert.equal(cloned.code, 0, cloned.stderr);
      assert.equal(await Deno.readTextFile(`${folder}/copy/a`), "text");
      const none = await run(["fetch", "origin", "--to", "x", "--branch", "none"]);
      assert.equal(none.code, 2);
    });
    await t.step("a file that others may read is refused", async () => {
      await Deno.chmod(saved, 0o644);
      const { code, stderr } = await run(["push", "pack"]);
      assert.deepEqual([code, /others may read it; chmod 600/.test(stderr)], [2, true]);
      await Deno.chmod(saved, 0o600);
    });
    await t.step("logout, remove", async () => {
      assert.equal((await run(["logout", api.url])).code, 0);
      assert.equal((await run(["logout", api.url])).code, 2);
      assert.equal((await run(["push", "pack"])).code, 2);
      assert.equal((await run(["remote", "remove", "origin"])).code, 0);
      const { code, stderr } = await run(["push", "pack"]);
      assert.deepEqual([code, /remote add origin URL/.test(stderr)], [2, true]);
    });
    await t.step("no output has the token", () => {
      // A secret may have underscores, too.
      const secret = token.split("_").slice(2).join("_");
      assert.ok(!outputs.join("").includes(secret));
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
