/**
 * Raw HTTP/1.1 requests that no honest client would send: heads, framing, JSON and MessagePack.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import { concat } from "../store/blobs.ts";
import type { Random } from "./random.ts";

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
const BODY_TARGETS = [
  "/api/repos",
  "/me/repo/filter-objects",
  "/me/repo/objects",
  "/me/repo/presign",
  "/me/repo/push/mpack-presign",
  "/me/repo/push/unpack-mpack",
  "/me/repo/push/stream",
  "/me/repo/push",
  "/me/repo/negotiate",
  "/me/repo/fetch",
  "/me/repo/tags",
];
const NAMES = [
  "object_ids",
  "mpack_key",
  "owner",
  "name",
  "__proto__",
  "constructor",
  "",
  "\u0000",
];
const LEAVES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  2 ** 53,
  "",
  "\u0000",
  "\ud800",
  "\u202e",
  "x".repeat(5_000),
  "me",
  ID,
  [],
  {},
];

/** A random value of JSON, small as a whole. */
function makeValue(random: Random, depth = 0): unknown {
  const kind = random.below(depth > 3 ? 1 : 4);
  if (kind < 2) return random.pick(LEAVES);
  const count = random.below(4);
  if (kind === 2) return Array.from({ length: count }, () => makeValue(random, depth + 1));
  return Object.fromEntries(
    Array.from({ length: count }, () => [random.pick(NAMES), makeValue(random, depth + 1)]),
  );
}

/** A body as bytes, often damaged. */
function makeBody(random: Random, type: string): Uint8Array<ArrayBuffer> {
  const value = makeValue(random);
  let bytes = type.includes("json")
    ? latin1(JSON.stringify(value) ?? "null")
    : new Uint8Array(encode(value));
  switch (random.below(5)) {
    case 0:
      bytes = random.bytes(random.below(300));
      break;
    case 1:
      // A header that declares far more than there is.
      bytes = concat([
        Uint8Array.from([random.pick([0xdd, 0xdf, 0xdb, 0xc6, 0xc9]), 255, 255, 255, 255]),
        bytes,
      ]);
      break;
    case 2:
      bytes = bytes.slice(0, random.below(bytes.length + 1));
      break;
    case 3:
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
  }
  return bytes;
}

/** Cuts a body into chunks, some of which are malformed. */
function chunked(random: Random, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < body.length;) {
    const part = body.subarray(at, at + 1 + random.below(200));
    const size = random.below(30) === 0
      ? random.pick(["-1", "ffffffffffffffffff", "1 ", "0x5", "", "g", "1;" + "x".repeat(20_000)])
      : part.length.toString(16) + random.pick(["", "", ";a=b", ';a="\r"']);
    parts.push(latin1(`${size}\r\n`), part, latin1(random.pick(["\r\n", "\r\n", "\n", ""])));
    at += part.length;
  }
  parts.push(
    latin1(random.pick(["0\r\n\r\n", "0\r\nTrailer: x\r\n\r\n", "0\r\n", "", "00000\r\n\r\n"])),
  );
  return concat(parts);
}

/** A request with credentials and a body, so that it gets behind the first checks. */
function makePost(random: Random, token: string): Uint8Array<ArrayBuffer> {
  const type = random.pick([
    "application/json",
    "application/x-msgpack",
    "application/octet-stream",
  ]);
  const body = makeBody(random, type), isChunked = random.below(3) === 0;
  const length = random.below(8) === 0 ? random.below(1_000) : body.length;
  const head = [
    `POST ${random.pick(BODY_TARGETS)} HTTP/1.1`,
    "Host: 127.0.0.1",
    `Authorization: Bearer ${token}`,
    `Content-Type: ${type}`,
    `X-Mpack-Key: ${ID}`,
    isChunked ? "Transfer-Encoding: chunked" : `Content-Length: ${length}`,
    ...(random.below(6) === 0 ? [random.pick(FIELDS)] : []),
    "Connection: close",
  ].join("\r\n");
  return concat([latin1(`${head}\r\n\r\n`), isChunked ? chunked(random, body) : body]);
}

/** A request without a body that is meant, with odd heads. */
function makeHead(random: Random, isLast: boolean): Uint8Array<ArrayBuffer> {
  const fields = Array.from({ length: random.below(4) }, () => random.pick(FIELDS));
  const version = random.below(20) === 0
    ? random.pick(["HTTP/1.0", "HTTP/9.9", "X", ""])
    : "HTTP/1.1";
  const head = [
    `${random.pick(METHODS)} ${random.pick(TARGETS)} ${version}`,
    random.pick(HOSTS),
    ...(isLast ? ["Connection: close"] : []),
    ...fields,
  ].join("\r\n");
  return latin1(`${head}\r\n\r\n${random.pick(BODIES)}`);
}

/**
 * Makes the bytes of one connection: a request or several, of which the last asks to close it.
 *
 * @param token A bearer token, for some of them.
 */
export function makeRequests(random: Random, token: string): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  // Some send more before the answer comes.
  while (random.below(10) === 0) parts.push(makeHead(random, false));
  parts.push(random.below(3) === 0 ? makePost(random, token) : makeHead(random, true));
  const bytes = concat(parts);
  if (random.below(5) === 0) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

/** Characters up to U+00FF as bytes; others lose their upper bits. */
function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff);
}
