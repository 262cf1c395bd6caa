import assert from "node:assert/strict";
import { checkOpenMode } from "../../src/http/auth/open_mode.ts";
import { createIdentity, revokeIdentity } from "../../src/db/identities.ts";
import { ConfigError } from "../../src/errors.ts";
import { newSigner } from "../support/http/api.ts";
import { runMain } from "../support/process/main.ts";
import { createFixture } from "../support/process/fixture.ts";
import { sendRaw, type ServerProcess, startServer } from "../support/http/server_process.ts";

const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);

/** Asks to create a repo, as only an admin may. */
async function create(server: ServerProcess, fields: readonly string[], host?: string) {
  const body = `{"owner":"me","name":"r${crypto.randomUUID()}"}`;
  const type = fields.some((field) => /^content-type/i.test(field))
    ? []
    : ["Content-Type: application/json"];
  const head = [
    "POST /api/repos HTTP/1.1",
    `Host: ${host ?? new URL(server.url).host}`,
    "Connection: close",
    `Content-Length: ${body.length}`,
    ...type,
    ...fields,
  ];
  return statusOf(await sendRaw(server.url, `${head.join("\r\n")}\r\n\r\n${body}`));
}

async function makeIdentity(db: ServerProcess["fixture"]["db"]): Promise<void> {
  const { signer, publicKey } = await newSigner();
  await createIdentity(db, {
    identityId: signer.keyId,
    handle: "ada",
    publicKey: publicKey.toBase64(),
    isAgent: true,
    isAdmin: false,
  });
}

Deno.test("without --open nobody is an admin, though no identity exists", async () => {
  await using server = await startServer({ isOpen: false });
  assert.equal(await create(server, []), 401);
  assert.equal(await create(server, ["Authorization: Bearer mpk_open_x"]), 401);
  assert.match(server.log(), /No identity exists/);
  await server.assertUnharmed();
});

Deno.test("the open token works for local requests only", async (t) => {
  await using server = await startServer();
  const token = `Authorization: Bearer ${server.openToken}`;
  const { port } = new URL(server.url);
  assert.equal(await create(server, [token]), 201);
  assert.equal(await create(server, [token], `localhost:${port}`), 201);
  assert.equal(await create(server, []), 401);
  assert.equal(await create(server, [`${token}x`]), 401);
  const refused: Record<string, readonly string[]> = {
    "Forwarded": ["Forwarded: for=192.0.2.60"],
    "X-Forwarded-For": ["X-Forwarded-For: 127.0.0.1"],
    "X-Forwarded-Host": ["X-Forwarded-Host: localhost"],
    "X-Forwarded-Proto": ["X-Forwarded-Proto: https"],
    "X-Real-IP": ["X-Real-IP: 127.0.0.1"],
    "Via": ["Via: 1.1 proxy"],
    "a page of another site": ["Sec-Fetch-Site: cross-site", "Origin: https://evil.example"],
    "a page of another port": ["Sec-Fetch-Site: same-site", "Origin: http://127.0.0.1:1"],
    "an old browser's page": ["Origin: https://evil.example"],
    "a sandboxed page": ["Origin: null"],
  };
  for (const [name, fields] of Object.entries(refused)) {
    await t.step(name, async () => assert.equal(await create(server, [token, ...fields]), 401));
  }
  await t.step("a rebound host name", async () => {
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1"]) {
      assert.equal(await create(server, [token], host), 401, host);
    }
  });
  await t.step("a simple request of a page: no token, or text/plain", async () => {
    const origin = ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"];
    assert.equal(await create(server, [...origin, "Content-Type: text/plain"]), 401);
    assert.equal(await create(server, [token, "Content-Type: text/plain"]), 415);
  });
  await t.step("an identity ends it", async () => {
    await makeIdentity(server.fixture.db);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    assert.equal(await create(server, [token]), 401);
  });
  const { db } = server.fixture;
  assert.equal((await db.sql`select from musehub_repos where owner = 'me'`).length, 3);
  await server.assertUnharmed();
});

Deno.test("requests without the token do not use up its rate limit", async () => {
  await using server = await startServer({ env: { MPACK_HTTP_REQUESTS_PER_MINUTE: "5" } });
  for (let i = 0; i < 5; i++) await create(server, ["Origin: https://evil.example"]);
  assert.equal(await create(server, []), 429);
  assert.equal(await create(server, [`Authorization: Bearer ${server.openToken}`]), 201);
});

Deno.test("--open refuses a public address, and a database with identities", async () => {
  await using fixture = await createFixture();
  for (const host of ["127.0.0.1", "localhost", "::1", "127.8.8.8"]) {
    await checkOpenMode(fixture.db, host);
  }
  for (const host of ["0.0.0.0", "::", "192.168.0.1", "localhost.evil", "1127.0.0.1"]) {
    await assert.rejects(checkOpenMode(fixture.db, host), ConfigError, host);
  }
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const exposed = await runMain(["serve", "--open", "--port", "0", "--host", "0.0.0.0"], env);
  assert.equal(exposed.code, 2, exposed.stderr);
  await makeIdentity(fixture.db);
  // Revoking the last identity does not open the server again.
  await revokeIdentity(fixture.db, "ada");
  const known = await runMain(["serve", "--open", "--port", "0"], env);
  assert.equal(known.code, 2, known.stderr);
});
