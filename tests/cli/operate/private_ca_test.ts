import assert from "node:assert/strict";
import { join } from "node:path";
import { makeCertificates } from "../../support/postgres/certificates.ts";
import { openRunDir, startTestServer } from "../../support/postgres/test_server.ts";
import { runMain } from "../../support/process/main.ts";

Deno.test("every command trusts the private CA of NODE_EXTRA_CA_CERTS, and names it where it lacks", async (t) => {
  const folder = join(await openRunDir(), "certificates-ca");
  const { ca, localhost } = await makeCertificates(folder);
  await using database = await startTestServer({
    settings: { ssl: "on", ssl_cert_file: localhost.cert, ssl_key_file: localhost.key },
  });
  // It is reached, and that is all: it speaks neither S3 nor our API.
  await using web = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    cert: await Deno.readTextFile(localhost.cert),
    key: await Deno.readTextFile(localhost.key),
    onListen: () => {},
  }, () => new Response("<html>", { headers: { "content-type": "text/html" } }));
  const url = `https://localhost:${web.addr.port}`;
  const pack = join(folder, "pack");
  await Deno.writeFile(pack, new Uint8Array(10));
  const target = new URL(database.url);
  target.hostname = "localhost";
  target.search = "sslmode=verify-full";
  const home = join(folder, "home");
  const s3 = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", MPACK_STORE_RETRIES: "0" };
  const cases: [string, string[], Record<string, string>, RegExp][] = [
    ["the database", ["stats"], { DATABASE_URL: target.href }, /run "mpackd migrate" first/],
    [
      "the store",
      ["store", "show"],
      { ...s3, MPACK_HOME: home, MPACK_STORE: `s3://bucket?endpoint=${url}` },
      /a web page came in place of the store's answer/,
    ],
    ["push", ["push", pack, "--remote", url, "--repo", "me/repo"], {}, /is it an mpackd server/],
    ["clone", ["clone", `${url}/me/repo`, join(folder, "clone")], {}, /is it an mpackd server/],
  ];
  for (const [name, args, env, reached] of cases) {
    await t.step(name, async () => {
      const untrusted = await runMain(args, env);
      assert.notEqual(untrusted.code, 0);
      assert.match(untrusted.stderr, /NODE_EXTRA_CA_CERTS/);
      const trusted = await runMain(args, { ...env, NODE_EXTRA_CA_CERTS: ca });
      assert.match(trusted.stderr, reached);
    });
  }
});
