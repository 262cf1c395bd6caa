import assert from "node:assert/strict";
import { startServer } from "../support/http/server_process.ts";
import { createIdentity } from "../../src/db/identities.ts";
import { newSigner, prepare, startApi } from "../support/http/api.ts";

async function status(url: string, headers: HeadersInit = {}): Promise<number> {
  const response = await fetch(url, { headers });
  await response.arrayBuffer();
  return response.status;
}

Deno.test("/metrics is for admins, or on a port of its own", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await using server = await startServer({ env: { MPACK_HTTP_PORT: String(port) } });
  const authorization = `Bearer ${server.openToken}`;
  assert.equal(await status(`${server.url}/metrics`), 401);
  assert.equal(await status(`${server.url}/metrics`, { authorization }), 200);
  assert.equal(await status(`${server.url}/healthz`), 200);
  assert.equal(await status(`${server.url}/readyz`), 200);
  for (const path of ["/metrics", "/healthz", "/readyz"]) {
    assert.equal(await status(`http://127.0.0.1:${port}${path}`), 200);
  }
  assert.equal(await status(`http://127.0.0.1:${port}/api/jobs`), 404);
  for (const isAdmin of [true, false]) {
    const { signer, publicKey } = await newSigner();
    await createIdentity(server.fixture.db, {
      identityId: signer.keyId,
      handle: isAdmin ? "ada" : "bob",
      publicKey: publicKey.toBase64(),
      isAgent: false,
      isAdmin,
    });
    const { headers } = await prepare(`${server.url}/metrics`, {}, signer);
    assert.equal(await status(`${server.url}/metrics`, headers), isAdmin ? 200 : 403);
  }
});

Deno.test("a flood of requests does not use up the rate limit of probes", async () => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_REQUESTS_PER_MINUTE: "5" },
  });
  for (let i = 0; i < 9; i++) await api.anonymous.send("/api/jobs");
  assert.equal((await api.anonymous.send("/api/jobs")).status, 429);
  assert.equal((await api.anonymous.send("/healthz")).status, 200);
});
