import assert from "node:assert/strict";
import { fuzzHttp1 } from "../../support/attack/fuzz_http1.ts";
import { sendRaw, startServer } from "../../support/http/server_process.ts";

/** MPACKD_FUZZ_REQUESTS=100000 for a long run; MPACKD_FUZZ_SEED repeats one. */
const REQUESTS = Number(Deno.env.get("MPACKD_FUZZ_REQUESTS") ?? 1_500);
const SEED = Number(Deno.env.get("MPACKD_FUZZ_SEED") ?? 20_261_127);

Deno.test("no raw bytes make the server answer 5xx, log an error or grow", async () => {
  await fuzzHttp1(REQUESTS, SEED);
});

Deno.test("a malformed Host, target or covered field is 400", async (t) => {
  await using server = await startServer();
  const token = `Authorization: Bearer ${server.openToken}`;
  const heads: Record<string, string> = {
    "Host with a space": "GET /api/jobs HTTP/1.1\r\nHost: a b",
    "Host without its bracket": "GET /api/jobs HTTP/1.1\r\nHost: [::1",
    "Host with a large port": "GET /api/jobs HTTP/1.1\r\nHost: x:99999",
    "unreadable cursor":
      `GET /api/jobs?after=2020-01-01T00:00:00Z~%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n${token}`,
    "cursor with a huge time":
      `GET /api/jobs?after=%2B275760-09-13T00:00:00.000Z~x HTTP/1.1\r\nHost: 127.0.0.1\r\n${token}`,
  };
  for (const [name, head] of Object.entries(heads)) {
    await t.step(name, async () => {
      assert.match(
        await sendRaw(server.url, `${head}\r\nConnection: close\r\n\r\n`),
        /^HTTP\/1\.1 400 /,
      );
    });
  }
  await t.step("the connection of a push that is refused at its first byte is closed", async () => {
    const head = `POST /me/repo/push HTTP/1.1\r\nHost: 127.0.0.1\r\n${token}\r\nConnection: close`;
    for (const first of ["\0", "{"]) {
      const body = first + "x".repeat(5_000);
      const request = `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      assert.match(await sendRaw(server.url, request), /^HTTP\/1\.1 422 /);
    }
  });
  await t.step("a covered field that is no field name", async () => {
    const head = "GET /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" +
      'Signature-Input: sig=("a b");created=1;keyid="x"\r\nSignature: sig=:AA==:';
    assert.match(await sendRaw(server.url, `${head}\r\n\r\n`), /^HTTP\/1\.1 401 /);
  });
  await server.assertUnharmed();
});
