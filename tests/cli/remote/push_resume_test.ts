import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { startApi } from "../../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { runMain, startMain } from "../../support/process/main.ts";
import { methodsOf, sampleBytes } from "../../support/store/blobs.ts";
import { until } from "../../support/until.ts";

const MIB = 1024 * 1024;
const PARTS = 6;

Deno.test("push --resume goes on where a killed push broke off", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const real = openFileStore(`${folder}/store`);
  // Parts 4, 5 and 6 do not end before the gate opens.
  const gate = Promise.withResolvers<void>(), arrived: number[] = [];
  let running = 0;
  const store = methodsOf(real);
  store.put = async (key, body, options) => {
    const number = Number(/^mpackd-uploads\/.*\/0*(\d+)$/.exec(key)?.[1]);
    running++;
    try {
      if (number > 3) await gate.promise;
      const stat = await real.put(key, body, options);
      if (number > 0) arrived.push(number);
      return stat;
    } finally {
      running--;
    }
  };
  await using api = await startApi({ store });
  const pack = `${folder}/pack`;
  const content = sampleBytes(PARTS * 5 * MIB - 1000, 1);
  const bytes = buildMpack({ objects: [object({ content })] });
  await Deno.writeFile(pack, bytes);
  const args = ["push", pack, "--remote", api.url, "--repo", "me/repo", "--token", api.admin.token];
  const resume = [...args, "--resume", "--part-bytes", String(5 * MIB)];
  try {
    await t.step("killed, it leaves the parts that have arrived", async () => {
      const child = startMain(resume), ended = child.output();
      await until("three parts arrive", () => arrived.length >= 3, { found: () => arrived });
      child.kill("SIGKILL");
      assert.equal((await ended).success, false);
      gate.resolve();
      await until("no part is being stored", () => running === 0, { found: () => ({ running }) });
    });
    await t.step("run again, it sends only the others, and the pack is indexed", async () => {
      const known = [...arrived];
      arrived.length = 0;
      const { code, stdout, stderr } = await runMain([...resume, "--json"]);
      assert.equal(code, 0, stderr);
      const result = JSON.parse(stdout);
      assert.equal(result.mpack_key, mpackKey(bytes));
      assert.equal(result.objects_written, 1);
      // What the killed one had sent before its end may have been enough for a part.
      assert.deepEqual([...known, ...arrived].sort(), [1, 2, 3, 4, 5, 6]);
      assert.ok(known.length >= 3 && arrived.length >= 1, `${known} then ${arrived}`);
    });
    await t.step("once more, it sends nothing", async () => {
      arrived.length = 0;
      const { code, stdout } = await runMain(resume);
      assert.deepEqual([code, arrived], [0, []]);
      assert.match(stdout, /^me\/repo has sha256:[0-9a-f]{64} already\n$/);
    });
    for (const how of [[], ["--resume"]]) {
      await t.step(`push - ${how.join("")} reads a pipe`, async () => {
        const content = sampleBytes(5_000, 20 + how.length);
        const small = buildMpack({ objects: [object({ content })] });
        await Deno.writeFile(`${folder}/small`, small);
        const command = args.map((arg) => arg === pack ? "-" : arg);
        const through = ["bash", "-c", `"$@" < <(cat ${folder}/small)`, "bash"];
        const ended = await runMain([...command, ...how, "--json"], {}, { through });
        assert.equal(ended.code, 0, ended.stderr);
        assert.equal(JSON.parse(ended.stdout).mpack_key, mpackKey(small));
      });
    }
    await t.step("--branch moves a branch, if the parts were indexed before, too", async () => {
      const history = new MadeHistory();
      const root = history.commit({ files: { a: "a" } });
      const [left, right] = ["l", "r"].map((a) =>
        history.commit({ parents: [root], files: { a } })
      );
      const pushed = async (commits: readonly string[], ...how: string[]) => {
        await Deno.writeFile(pack, history.pack({ commits }).bytes);
        const { code, stdout } = await runMain([...resume, ...how, "--json"]);
        return { code, value: JSON.parse(stdout) };
      };
      assert.equal((await pushed([root, left])).value.branch, undefined);
      const again = await pushed([root, left], "--branch", "main");
      assert.deepEqual(again.value.branch, { name: "main", head: left, moved: true });
      const lost = await pushed([right], "--branch", "main");
      assert.deepEqual([lost.code, lost.value.error.code], [3, "diverged"]);
      const forced = await pushed([right], "--branch", "main", "--force");
      assert.deepEqual(forced.value.branch, { name: "main", head: right, moved: true });
    });
    await t.step("it says that it waits for a worker, and goes on when one comes", async () => {
      const sent: (string | null)[] = [];
      let target = "";
      await using proxy = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen() {} },
        async (request) => {
          const { pathname, search } = new URL(request.url), { method, headers } = request;
          if (method === "PUT") sent.push(headers.get("content-md5"));
          const body = method === "GET" ? undefined : await request.bytes();
          return await fetch(`${target}${pathname}${search}`, { method, headers, body });
        },
      );
      const proxyUrl = `http://127.0.0.1:${proxy.addr.port}`;
      const env = { MPACK_HTTP_WAIT_MS: "0", MPACK_HTTP_URL: proxyUrl };
      await using waiting = await startApi({ worker: false, env });
      target = waiting.url;
      const small = buildMpack({ objects: [object({ content: sampleBytes(5_000, 30) })] });
      await Deno.writeFile(pack, small);
      const to = ["--remote", proxyUrl, "--token", waiting.admin.token];
      const child = startMain([...resume, ...to]), told: string[] = [];
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        told.push(text);
        if (/waits/.test(text)) await indexMpack(waiting.fixture.options(mpackKey(small)));
      }
      assert.match(told.join(""), /^Job sha256:\w+ waits: no worker of the server is alive\./m);
      assert.equal((await child.status).code, 0);
      await child.stdout.cancel();
      assert.deepEqual(sent, [createHash("md5").update(small).digest("base64")]);
    });
    await t.step("a login page in place of an answer is no push: 2", async () => {
      const page = () => new Response("<html>", { headers: { "content-type": "text/html" } });
      await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, page);
      const remote = ["--remote", `http://127.0.0.1:${server.addr.port}`];
      const { code, stderr } = await runMain([...resume, ...remote]);
      assert.equal(code, 2);
      assert.match(stderr, /answered with text\/html/);
    });
  } finally {
    gate.resolve();
    await Deno.remove(folder, { recursive: true });
  }
});
