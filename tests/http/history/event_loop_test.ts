import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { assertNoHold, startServer } from "../../support/http/server_process.ts";
import { MuseClient } from "../../support/muse/client.ts";
import { commitIdOf, MuseRepo, sha256, snapshotIdOf } from "../../support/muse/repo.ts";

const IDS = 200_000;

Deno.test("200,000 commits of a client hold the event loop of no route of history", async (t) => {
  await using server = await startServer();
  const auth = { authorization: `Bearer ${server.openToken}` };
  const json = { ...auth, "content-type": "application/json" };
  const body = JSON.stringify({ owner: "ada", name: "one", visibility: "public" });
  await (await fetch(`${server.url}/api/repos`, { method: "POST", headers: json, body })).text();
  const ada = new MuseClient(`${server.url}/ada/one`, server.openToken);
  const head = ada.repo.commit("main", { a: "a" });
  await ada.push("main");
  const have = Array.from({ length: IDS - 1 }, (_, i) => i.toString(16).padStart(64, "0"));
  const bodies = {
    negotiate: { want: [head], have },
    fetch: { want: [head], have },
    presign: { object_ids: have },
  };
  for (const [route, value] of Object.entries(bodies)) {
    const body = new Uint8Array(encode(value));
    await t.step(route, () =>
      assertNoHold(server, async () => {
        const headers = { ...auth, "content-type": "application/x-msgpack" };
        const answer = await fetch(`${server.url}/ada/one/${route}`, {
          method: "POST",
          headers,
          body,
        });
        await answer.arrayBuffer();
        assert.equal(answer.status, 200);
      }));
  }
  await server.assertUnharmed();
});

Deno.test("a manifest of 16 MiB that is not sorted does not hold the event loop", async () => {
  await using server = await startServer();
  const content = new TextEncoder().encode("the same"), id = sha256(content);
  const paths: string[] = [];
  for (let i = 0, bytes = 0; bytes < 16_000_000; bytes += paths[i++].length + 66) {
    paths.push(sha256(`path ${i}`).slice(0, 24));
  }
  const manifest = Object.fromEntries(paths.map((path) => [path, id]));
  const repo = new MuseRepo(), snapshot_id = snapshotIdOf(manifest);
  const first = repo.commit("main", {}), { commit_id: _, ...fields } = repo.commits.get(first)!;
  const commit = { ...fields, snapshot_id };
  const pack = new Uint8Array(encode({
    objects: [{ object_id: id, content }],
    commits: [{ ...commit, commit_id: commitIdOf(commit) }],
    snapshots: [{ snapshot_id, manifest, created_at: commit.committed_at }],
  }));
  await assertNoHold(server, async () => {
    const answer = await fetch(`${server.url}/me/repo/push/stream?branch=main`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${server.openToken}`,
        "x-mpack-key": `sha256:${sha256(pack)}`,
      },
      body: pack,
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
  });
  await server.assertUnharmed();
});
