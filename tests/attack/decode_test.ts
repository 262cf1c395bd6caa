import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { decodeBody } from "../../src/http/body/decode_body.ts";
import { type ServerProcess, startServer } from "../support/http/server_process.ts";

/** An array that declares 33 million elements, in five bytes. */
const HUGE_ARRAY = [0xdd, 0x02, 0, 0, 0];
const MEMORY_MIB = 64;
const BODY_BYTES = 8 * 1024 * 1024;

const MSGPACK = "application/x-msgpack", JSON_TYPE = "application/json";
const repeated = (bytes: readonly number[], times: number) =>
  new Uint8Array(Array.from({ length: times }, () => bytes).flat());
const text = (value: string) => new TextEncoder().encode(value);

/** Bodies by name; each is small or under the limit of bytes, and expensive to decode. */
const BODIES: Record<string, [type: string, body: Uint8Array<ArrayBuffer>]> = {
  "array32 nested 24 times": [MSGPACK, repeated(HUGE_ARRAY, 24)],
  "a million arrays in one another": [MSGPACK, new Uint8Array(1_000_000).fill(0x91)],
  "a map that declares 4 billion entries": [MSGPACK, new Uint8Array([0xdf, 255, 255, 255, 255])],
  "a string that declares 4 GiB": [MSGPACK, new Uint8Array([0xdb, 255, 255, 255, 255])],
  "an ext that declares 4 GiB": [MSGPACK, new Uint8Array([0xc9, 255, 255, 255, 255, 1])],
  "8 million empty maps": [
    MSGPACK,
    new Uint8Array([0xdd, ...be32(BODY_BYTES - 5), ...new Array(BODY_BYTES - 5).fill(0x80)]),
  ],
  "nested arrays that declare what is left": [MSGPACK, nestedClaims(BODY_BYTES)],
  "8 million brackets": [JSON_TYPE, new Uint8Array(BODY_BYTES).fill(0x5b)],
  "4 million numbers": [JSON_TYPE, text(`[${"1,".repeat(BODY_BYTES / 2 - 2)}1]`)],
  "2 million objects": [JSON_TYPE, text(`[${"{},".repeat(BODY_BYTES / 3 - 2)}{}]`)],
};

function be32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** Each array declares as many elements as there are bytes after it. */
function nestedClaims(bytes: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(bytes);
  for (let at = 0; at < 5 * 24; at += 5) body.set([0xdd, ...be32(bytes - at - 5)], at);
  return body;
}

async function post(server: ServerProcess, type: string, body: Uint8Array<ArrayBuffer>) {
  const headers = { "content-type": type, authorization: `Bearer ${server.openToken}` };
  const response = await fetch(`${server.url}/api/repos`, { method: "POST", headers, body });
  await response.arrayBuffer();
  return response;
}

Deno.test("no request body makes the server allocate more than a bound", async (t) => {
  await using server = await startServer();
  const made = await post(server, MSGPACK, new Uint8Array(encode({ owner: "me", name: "x" })));
  assert.equal(made.status, 201);
  // A body of the greatest length is the yardstick: what it needs is not the attack's doing.
  for (let i = 0; i < 3; i++) {
    await post(server, JSON_TYPE, text(`{"owner":"me","name":"${"x".repeat(BODY_BYTES - 99)}"}`));
  }
  const before = await server.peakMib();
  for (const [name, [type, body]] of Object.entries(BODIES)) {
    await t.step(name, async () => {
      const { status } = await post(server, type, body);
      assert.ok(status === 400 || status === 413, `${status}`);
      const grown = await server.peakMib() - before;
      assert.ok(grown < MEMORY_MIB, `${Math.round(grown)} MiB more`);
    });
  }
  await server.assertUnharmed();
});

Deno.test("an object of a body has at most a thousand members", async () => {
  const members = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}`, i]));
  const codecs = {
    json: (value: unknown) => text(JSON.stringify(value)),
    msgpack: (value: unknown) => new Uint8Array(encode(value)),
  } as const;
  for (const [codec, encoded] of Object.entries(codecs)) {
    const decoded = (value: unknown) =>
      decodeBody(encoded(value), codec as keyof typeof codecs, { maxValues: 10_000 });
    // Each of two may have as many, and what is inside counts for itself.
    const most = [members(1_000), { inside: members(1_000), ":::": "::::" }];
    assert.deepEqual(await decoded(most), most);
    for (const bad of [members(1_001), [[{ a: [members(1_001)] }]]]) {
      await assert.rejects(decoded(bad), { status: 413, message: /more than 1000 members/ });
    }
  }
});
