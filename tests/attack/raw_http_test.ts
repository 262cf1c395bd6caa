import assert from "node:assert/strict";
import { sendRaw, type ServerProcess, startServer } from "../support/http/server_process.ts";

/** MPACKD_FUZZ_REQUESTS=100000 for a long run; MPACKD_FUZZ_SEED repeats one. */
const REQUESTS = Number(Deno.env.get("MPACKD_FUZZ_REQUESTS") ?? 2_000);
const SEED = Number(Deno.env.get("MPACKD_FUZZ_SEED") ?? 20_261_127);
const AT_ONCE = 20;
const GROWTH_MIB = 150;

/** A small seeded generator (mulberry32). */
function generator(seed: number) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return { below, pick: <T>(list: readonly T[]) => list[below(list.length)] };
}
type Random = ReturnType<typeof generator>;

const ID = `sha256:${"0".repeat(64)}`;
const METHODS = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "get",
  "G(T",
];
const TARGETS = [
  "/api/jobs",
  "/api/jobs?after=2020-01-01T00:00:00Z~%00",
  "/api/jobs?after=99999999999999999999~x",
  "/api/jobs?after=+275760-09-13T00:00:00.000Z~x",
  "/api/jobs?limit=1e3&status=done",
  "/api/jobs?repoId=%00",
  "/api/jobs/x%00y",
  "/api/repos/%ff%fe",
  "/api/repos/" + "x".repeat(5_000),
  "/api/uploads/r/sha256:0?size=1&expires=1e300&signature=x",
  `/api/uploads/r/${ID}?size=1&expires=99999999999999&signature=${"0".repeat(64)}`,
  `/api/uploads/r/${ID}?size=1&expires=-1&signature=%00`,
  `/me/repo/objects/${ID}`,
  `/me/repo/objects/${ID}%00`,
  "/me/repo/filter-objects",
  "/me/repo/objects",
  "/me/repo/push/stream",
  "/me/repo/push/mpack-presign",
  "/me/repo/push/unpack-mpack",
  "/healthz",
  "/readyz",
  "*",
  "http://other.example/api/jobs",
  "file:///etc/passwd",
  "//evil.example/x",
  "/\\..\\x",
  "/%zz",
  "/?%",
  "other.example:443",
  "http://a b/",
  "http://[::1/",
  "",
];
const HOSTS = [
  "Host: 127.0.0.1",
  "Host: a b",
  "Host: ",
  "Host: [::1",
  "Host: [::1]:99999",
  "Host: x:port",
  "Host: %00",
  "Host: user:secret@x",
  "Host: \u00fc.example",
  "Host: x/../y?z#w",
  "Host: one\r\nHost: two",
  "X-No-Host: 1",
];
const FIELDS = [
  'Signature-Input: sig=("a b");created=1;keyid="x"\r\nSignature: sig=:AA==:',
  'Signature-Input: sig=("@method" "");created=1;keyid="x"\r\nSignature: sig=:AA==:',
  'Signature-Input: sig=("x\u0000");created=1;keyid="x"\r\nSignature: sig=:AA==:',
  'Signature-Input: sig=("@path");created=99999999999999;keyid="x"\r\nSignature: sig=:AA==:',
  'Signature-Input: sig=("host");created=1;keyid="\\""\r\nSignature: sig=:AA==:',
  `Signature-Input: sig=("@method" "@authority" "@path" "@query");created=${
    Math.floor(Date.now() / 1000)
  };keyid="x"\r\nSignature: sig=:${"A".repeat(86)}==:`,
  "Signature-Input: ((((\r\nSignature: sig=:AA==:",
  "Signature: sig=1",
  "Authorization: Bearer ",
  `Authorization: Bearer mpk_${"0".repeat(16)}_${"A".repeat(43)}`,
  "Authorization: \u0001",
  "Content-Digest: sha-256=:AA==:",
  "Content-Digest: ((",
  "Content-Type: application/json",
  "Content-Type: application/x-msgpack",
  "Content-Type: text/plain",
  "Content-Encoding: gzip",
  "Content-Length: 5",
  "Content-Length: -1",
  "Content-Length: 5, 5",
  "Content-Length: 99999999999999999999",
  "Content-Length: 0x5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: chunked\r\nContent-Length: 3",
  "Expect: 100-continue",
  "Expect: x",
  "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
  "Upgrade: websocket\r\nConnection: Upgrade",
  "Range: bytes=9-1",
  "Range: bytes=999999999999999-",
  "If-None-Match: W/",
  "Prefer: wait=999999999",
  `X-Mpack-Key: ${ID}`,
  "X-Mpack-Key: x",
  "Accept: ;;;,",
  "Cookie: a=b",
  "X-Long: " + "x".repeat(20_000),
  "X-Bad\u0000Name: x",
  " Folded: x",
  "NoColon",
];
const BODIES = ["", "hello", "{}", "5\r\nhello\r\n0\r\n\r\n", "zz\r\n", "\u0000", "[".repeat(500)];
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

function makeRequest(random: Random): string {
  if (random.below(50) === 0) {
    const frame = String.fromCharCode(...Array.from({ length: 40 }, () => random.below(128)));
    return PREFACE + frame;
  }
  const fields = Array.from({ length: random.below(4) }, () => random.pick(FIELDS));
  const version = random.below(20) === 0
    ? random.pick(["HTTP/1.0", "HTTP/9.9", "X", ""])
    : "HTTP/1.1";
  const head = [
    `${random.pick(METHODS)} ${random.pick(TARGETS)} ${version}`,
    random.pick(HOSTS),
    "Connection: close",
    ...fields,
  ].join("\r\n");
  let text = `${head}\r\n\r\n${random.pick(BODIES)}`;
  // Damage a byte now and then.
  if (random.below(5) === 0) {
    const at = random.below(text.length);
    text = text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
  }
  return text;
}

async function ask(server: ServerProcess, text: string): Promise<void> {
  const answer = await sendRaw(server.url, text);
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(answer) ?? [];
  const isFine = status === undefined || Number(status) < 500 ||
    (status === "503" && /^retry-after: /im.test(answer));
  assert.ok(isFine, `${JSON.stringify(text.slice(0, 500))}\n${answer.slice(0, 500)}`);
}

Deno.test("no raw bytes make the server answer 5xx, log an error or grow", async () => {
  const random = generator(SEED);
  const env = { MPACK_HTTP_IDLE_MS: "300", MPACK_HTTP_HEAD_MS: "300" };
  await using server = await startServer({ env });
  for (let i = 0; i < 200; i++) {
    await ask(server, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }
  const before = await server.peakMib();
  for (let sent = 0; sent < REQUESTS; sent += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => ask(server, makeRequest(random))));
  }
  const grown = await server.peakMib() - before;
  assert.ok(grown < GROWTH_MIB, `${Math.round(grown)} MiB more`);
  await server.assertUnharmed();
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
  await t.step("a covered field that is no field name", async () => {
    const head = "GET /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" +
      'Signature-Input: sig=("a b");created=1;keyid="x"\r\nSignature: sig=:AA==:';
    assert.match(await sendRaw(server.url, `${head}\r\n\r\n`), /^HTTP\/1\.1 401 /);
  });
  await server.assertUnharmed();
});
