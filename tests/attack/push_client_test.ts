import assert from "node:assert/strict";
import { runMain } from "../support/process/main.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

const PACK = buildMpack({ objects: [object({ content: new Uint8Array(9) })] });
const KEY = mpackKey(PACK);
const RESULT = {
  job_id: "j",
  repo_id: "r",
  mpack_key: KEY,
  size_bytes: PACK.length,
  objects_total: 1,
  objects_written: 1,
  object_refs_written: 1,
  duplicate_objects: 0,
  commits: 0,
  snapshots: 0,
  tags: 0,
  batches: 0,
  resumed_from_byte: 0,
  hashed_bytes: 1,
  reread_bytes: 0,
  elapsed_ms: 1,
  phases_ms: { open: 0, stream: 0, publish: 0 },
};
const problem = (status: number, body: object) =>
  Response.json(body, { status, headers: { "content-type": "application/problem+json" } });

/** What a server that is not mpackd, or that lies, may answer; and the exit code. */
const ANSWERS: Record<string, [answer: () => Response, code: number]> = {
  "a login page": [
    () => new Response("<html>Log in</html>", { headers: { "content-type": "text/html" } }),
    2,
  ],
  "a result that says it is HTML": [
    () => new Response(JSON.stringify(RESULT), { headers: { "content-type": "text/html" } }),
    2,
  ],
  "an empty object": [() => Response.json({}), 2],
  "null": [() => Response.json(null), 2],
  "no body": [() => new Response(null, { status: 200 }), 2],
  "broken JSON": [
    () => new Response("{", { headers: { "content-type": "application/json" } }),
    2,
  ],
  "an answer without end": [
    () => new Response("x".repeat(3_000_000), { headers: { "content-type": "application/json" } }),
    2,
  ],
  "the result of another mpack": [
    () => Response.json({ ...RESULT, mpack_key: `sha256:${"0".repeat(64)}` }),
    2,
  ],
  "counts that are text": [() => Response.json({ ...RESULT, objects_total: "1" }), 2],
  "a redirect to a login page": [
    () => new Response(null, { status: 302, headers: { location: "/login" } }),
    2,
  ],
  "a verdict as HTML": [() => new Response("<html>", { status: 422 }), 2],
  "ghosts without ids": [() => problem(409, { code: "ghost-objects" }), 2],
  "a problem that is null": [() => problem(422, null as unknown as object), 2],
  "a proxy's 502": [() => new Response("<html>", { status: 502 }), 4],
};

Deno.test("push believes only the result of indexing this mpack", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  await Deno.writeFile(`${folder}/pack`, PACK);
  let answer: () => Response = () => Response.json(RESULT);
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      await request.arrayBuffer();
      return answer();
    },
  );
  const remote = `http://127.0.0.1:${server.addr.port}`;
  const push = () => runMain(["push", `${folder}/pack`, "--repo", "me/repo", "--remote", remote]);
  const good = await push();
  assert.equal(good.code, 0, good.stderr);
  for (const [name, [given, wanted]] of Object.entries(ANSWERS)) {
    await t.step(name, async () => {
      answer = given;
      const { code, stdout, stderr } = await push();
      assert.equal(code, wanted, stderr);
      assert.equal(stdout, "");
      assert.doesNotMatch(stderr, /undefined|TypeError|\n\s+at /);
    });
  }
  await t.step("an error text with terminal commands", async () => {
    answer = () =>
      problem(403, {
        type: "t",
        title: "t",
        status: 403,
        detail: "Cannot push\u001b]0;owned\u0007\u001b[2J",
        instance: "i",
        code: "forbidden",
        retryable: false,
      });
    const { code, stderr } = await push();
    assert.equal(code, 2);
    assert.ok(!stderr.includes("\u001b") && !stderr.includes("\u0007"), JSON.stringify(stderr));
  });
  await Deno.remove(folder, { recursive: true });
});
