import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { assertNoHold, startServer } from "../../support/http/server_process.ts";
import { MuseClient } from "../../support/muse/client.ts";

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
