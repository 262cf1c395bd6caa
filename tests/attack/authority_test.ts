import assert from "node:assert/strict";
import { createIdentity } from "../../src/db/identities.ts";
import { newSigner, prepare } from "../support/http/api.ts";
import { sendRaw, type ServerProcess, startServer } from "../support/http/server_process.ts";

/** Signs a request for one URL and sends it to the server with that URL's Host. */
async function relay(server: ServerProcess, signedFor: string, host?: string): Promise<number> {
  const { signer, publicKey } = await newSigner();
  await createIdentity(server.fixture.db, {
    identityId: signer.keyId,
    handle: `h${crypto.randomUUID()}`,
    publicKey: publicKey.toBase64(),
    isAgent: false,
    isAdmin: true,
  });
  const { headers } = await prepare(`${signedFor}/api/jobs`, {}, signer);
  headers.set("host", host ?? new URL(signedFor).host);
  headers.set("connection", "close");
  const fields = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const text = await sendRaw(server.url, `GET /api/jobs HTTP/1.1\r\n${fields}\r\n`);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
}

Deno.test("a signature made for another server is refused, whatever the Host says", async (t) => {
  await using server = await startServer();
  const { host, port } = new URL(server.url);
  assert.equal(await relay(server, server.url), 200);
  assert.equal(await relay(server, server.url, "proxy.example"), 200);
  const others = ["evil.example", `evil.example:${port}`, `localhost:${port}`, "127.0.0.1:1"];
  for (const other of others) {
    await t.step(other, async () => {
      assert.equal(await relay(server, `http://${other}`), 401);
      assert.equal(await relay(server, `http://${other}`, host), 401);
    });
  }
});

Deno.test("with MPACK_HTTP_URL a signature must cover that authority", async () => {
  await using server = await startServer({ env: { MPACK_HTTP_URL: "https://packs.example" } });
  assert.equal(await relay(server, "https://packs.example", new URL(server.url).host), 200);
  assert.equal(await relay(server, "https://packs.example"), 200);
  assert.equal(await relay(server, server.url), 401);
  assert.equal(await relay(server, "https://evil.example"), 401);
});

Deno.test("with --host localhost a signature may cover that name", async () => {
  await using server = await startServer({ args: ["--host", "localhost"] });
  assert.equal(await relay(server, `http://localhost:${new URL(server.url).port}`), 200);
});
