import assert from "node:assert/strict";
import { startServer } from "../support/http/server_process.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

/** Longer than socket buffers. */
const LARGE = sampleBytes(20_000_000, 2);
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: LARGE })] }));
const ID = mpackKey(LARGE);

Deno.test("a cut answer looks cut to the client, and writes no error line", async (t) => {
  await using server = await startServer({ env: { MPACK_HTTP_IDLE_MS: "500" } });
  const authorization = `Bearer ${server.openToken}`,
    { host, hostname, port } = new URL(server.url);
  const pushed = await fetch(`${server.url}/me/repo/push/stream`, {
    method: "POST",
    headers: { authorization, "x-mpack-key": mpackKey(PACK) },
    body: PACK,
  });
  assert.equal(pushed.status, 200, await pushed.text());
  const body = JSON.stringify({ object_ids: [ID] });
  const requests = {
    "one object": `GET /me/repo/objects/${ID} HTTP/1.1\r\n`,
    "many objects": `POST /me/repo/objects HTTP/1.1\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n`,
  };
  for (const [name, head] of Object.entries(requests)) {
    await t.step(name, async () => {
      using connection = await Deno.connect({ hostname, port: Number(port) });
      const text = `${head}Host: ${host}\r\nAuthorization: ${authorization}\r\n\r\n`;
      await connection.write(new TextEncoder().encode(name === "one object" ? text : text + body));
      // Reads nothing until the server has given up, then what lies in the buffers.
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      let bytes = 0, tail = "";
      const buffer = new Uint8Array(65536);
      try {
        for (let count; (count = await connection.read(buffer)) !== null;) {
          bytes += count;
          tail = new TextDecoder("latin1").decode(buffer.subarray(0, count)).slice(-5);
        }
      } catch {
        // Reset.
      }
      assert.ok(bytes > 0 && bytes < LARGE.length, String(bytes));
      assert.notEqual(tail, "0\r\n\r\n");
    });
  }
  await server.assertUnharmed();
});
