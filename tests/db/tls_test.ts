import assert from "node:assert/strict";
import { join } from "node:path";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { ConfigError } from "../../src/errors.ts";
import { makeCertificates } from "../support/postgres/certificates.ts";
import { openRunDir, startTestServer } from "../support/postgres/test_server.ts";

/** What a connection by `words` brought: the TLS version, `none`, or the error. */
async function connectBy(url: string, words: string, host = "127.0.0.1"): Promise<string | Error> {
  const target = new URL(url);
  target.hostname = host;
  target.search = words;
  const db = connectDatabase(target.href, { maxConnections: 1 });
  try {
    const [row] = await db.query<{ version: string }>("look at TLS")`
      select coalesce((select version from pg_stat_ssl where pid = pg_backend_pid() and ssl), 'none')
        as version`;
    return row.version;
  } catch (error) {
    return error as Error;
  } finally {
    await db.close();
  }
}

function isRefused(outcome: string | Error, message: RegExp): void {
  assert(outcome instanceof ConfigError, String(outcome));
  assert.match(outcome.message, message);
}

Deno.test("connectDatabase() uses TLS as libpq does", async (t) => {
  const folder = join(await openRunDir(), "certificates");
  const { ca, otherCa, localhost, client } = await makeCertificates(folder);
  await using server = await startTestServer({
    settings: {
      ssl: "on",
      ssl_cert_file: localhost.cert,
      ssl_key_file: localhost.key,
      ssl_ca_file: ca,
    },
  });
  const { url } = server;

  await t.step("prefer and require check no certificate", async () => {
    for (const words of ["", "sslmode=allow", "sslmode=prefer", "sslmode=require", "ssl=true"]) {
      assert.equal(await connectBy(url, words), "TLSv1.3", words);
    }
    assert.equal(await connectBy(url, "sslmode=disable"), "none");
    assert.equal(
      await connectBy(url, "sslmode=require&ssl_max_protocol_version=TLSv1.2"),
      "TLSv1.2",
    );
  });
  await t.step("verify-ca checks the chain and not the name", async () => {
    assert.equal(await connectBy(url, `sslmode=verify-ca&sslrootcert=${ca}`), "TLSv1.3");
    assert.equal(await connectBy(url, `sslmode=require&sslrootcert=${ca}`), "TLSv1.3");
    for (const words of [`sslmode=verify-ca&sslrootcert=${otherCa}`, "sslmode=verify-ca"]) {
      isRefused(
        await connectBy(url, words),
        /certificate is not trusted.*sslmode is verify-ca.*sslrootcert/,
      );
    }
  });
  await t.step("verify-full checks the name", async () => {
    assert.equal(
      await connectBy(url, `sslmode=verify-full&sslrootcert=${ca}`, "localhost"),
      "TLSv1.3",
    );
    isRefused(
      await connectBy(url, "sslmode=verify-full", "localhost"),
      /certificate is not trusted.*sslrootcert/,
    );
  });
  await t.step("verify-full with an address does not check the name localhost", async () => {
    isRefused(
      await connectBy(url, `sslmode=verify-full&sslrootcert=${ca}`),
      /certificate is not for 127\.0\.0\.1, and sslmode is verify-full/,
    );
  });
  await t.step("a channel binding is answered by verify-full", async () => {
    isRefused(
      await connectBy(url, `sslmode=require&channel_binding=require&sslrootcert=${ca}`),
      /certificate is not for 127\.0\.0\.1/,
    );
  });
  await t.step("a file that is not there is named by its word", async () => {
    await assert.rejects(
      connectBy(url, "sslmode=verify-full&sslrootcert=/no/such.pem"),
      (error) => error instanceof ConfigError && /sslrootcert/.test(error.message),
    );
    await assert.rejects(connectBy(url, `sslcert=${client.cert}`), /sslcert and sslkey/);
  });
  await t.step("a client certificate logs in", async () => {
    await server.allow("hostssl all all 127.0.0.1/32 cert map=certs", "certs /.* mpackd");
    const words = `sslmode=require&sslcert=${client.cert}&sslkey=${client.key}`;
    assert.equal(await connectBy(url, words), "TLSv1.3");
    const outcome = await connectBy(url, "sslmode=require");
    assert(outcome instanceof Error && /certificate/.test(outcome.message), String(outcome));
  });
});

Deno.test("connectDatabase() checks an address in the certificate of a server", async () => {
  const folder = join(await openRunDir(), "certificates-2");
  const { ca, address } = await makeCertificates(folder);
  await using server = await startTestServer({
    settings: { ssl: "on", ssl_cert_file: address.cert, ssl_key_file: address.key },
  });
  const words = `sslmode=verify-full&sslrootcert=${ca}`;
  assert.equal(await connectBy(server.url, words), "TLSv1.3");
  isRefused(await connectBy(server.url, words, "localhost"), /certificate is not for localhost/);
});

Deno.test("connectDatabase() insists on TLS where it must, and not where it need not", async () => {
  await using server = await startTestServer();
  for (const words of ["", "sslmode=prefer", "sslmode=disable"]) {
    assert.equal(await connectBy(server.url, words), "none", words);
  }
  for (const mode of ["require", "verify-ca", "verify-full"]) {
    isRefused(await connectBy(server.url, `sslmode=${mode}`), /has no TLS, and sslmode is/);
  }
});
