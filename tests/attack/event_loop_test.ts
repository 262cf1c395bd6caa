import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { assertNoHold, type ServerProcess, startServer } from "../support/http/server_process.ts";

const BODY_BYTES = 8 * 1024 * 1024;
/** What fits into 8 MiB of JSON. */
const IDS = 50_000;
/** The most, as MessagePack. */
const MOST_IDS = 200_000;
const MSGPACK = "application/x-msgpack", JSON_TYPE = "application/json";
const text = (value: string) => new TextEncoder().encode(value);
const list = (item: string, times: number) =>
  text(`{"object_ids":[${new Array(times).fill(item).join(",")}]}`);
const id = (i: number) => `sha256:${i.toString(16).padStart(64, "0")}`;
const ids = Array.from({ length: MOST_IDS }, (_, i) => id(i));

/** The most expensive bodies that are let in, and some that are not. */
const BODIES: Record<string, [type: string, body: Uint8Array<ArrayBuffer>]> = {
  "2 million numbers for ids": [JSON_TYPE, list("1", 2_000_000)],
  "50,000 numbers for ids": [JSON_TYPE, list("1", IDS)],
  "50,000 objects for ids": [JSON_TYPE, list("{}", IDS)],
  "50,000 long ids": [JSON_TYPE, list(JSON.stringify("x".repeat(150)), IDS)],
  "100,000 absent ids": [JSON_TYPE, text(JSON.stringify({ object_ids: ids.slice(0, 2 * IDS) }))],
  "200,000 absent ids as MessagePack": [MSGPACK, new Uint8Array(encode({ object_ids: ids }))],
  "200,000 ids of other letters as MessagePack": [
    MSGPACK,
    new Uint8Array(encode({ object_ids: new Array(MOST_IDS).fill("ü".repeat(35)) })),
  ],
  "one id 50,000 times": [JSON_TYPE, list(JSON.stringify(id(0)), IDS)],
  "a string of 8 MB": [JSON_TYPE, text(`{"object_ids":"${"x".repeat(BODY_BYTES - 30)}"}`)],
  "a string of 8 MB escapes": [
    JSON_TYPE,
    text(`{"object_ids":"${"\\u0000".repeat(BODY_BYTES / 6 - 10)}"}`),
  ],
  "a name of 8 MB": [
    JSON_TYPE,
    text(`{"owner":"me","name":"${"x".repeat(BODY_BYTES - 40)}","branch":"y"}`),
  ],
  "8 MB of spaces": [JSON_TYPE, text(" ".repeat(BODY_BYTES))],
  "100,000 members": [
    JSON_TYPE,
    text(`{${Array.from({ length: 50_000 }, (_, i) => `"${i}":1`).join()}}`),
  ],
  "100,000 members as MessagePack": [
    MSGPACK,
    new Uint8Array(encode(Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [i, 1])))),
  ],
};

const ROUTES = [
  "/api/repos",
  "/me/repo/filter-objects",
  "/me/repo/objects",
  "/me/repo/push/mpack-presign",
  "/me/repo/push/unpack-mpack",
];

async function post(
  server: ServerProcess,
  path: string,
  type: string,
  body: Uint8Array<ArrayBuffer>,
) {
  const headers = { "content-type": type, authorization: `Bearer ${server.openToken}` };
  const response = await fetch(server.url + path, { method: "POST", headers, body });
  await response.arrayBuffer();
  return response.status;
}

Deno.test("no body holds the event loop of the server, on any route", async (t) => {
  await using server = await startServer();
  for (const path of ROUTES) {
    for (const [name, [type, body]] of Object.entries(BODIES)) {
      await t.step(`${path}: ${name}`, async () => {
        await assertNoHold(server, async () => {
          const status = await post(server, path, type, body);
          assert.ok(status < 500, String(status));
        });
      });
    }
  }
  await server.assertUnharmed();
});
