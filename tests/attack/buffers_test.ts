import assert from "node:assert/strict";
import { type ServerProcess, startServer } from "../support/http/server_process.ts";
import { until } from "../support/until.ts";

const MIB = 1024 * 1024;
const BODY_BYTES = 8 * MIB;
const BODIES = 60;
/** The budget, and what 60 connections have in their own buffers. */
const GROWTH_MIB = 256;
const encoder = new TextEncoder();

/** Sends the head of a POST and part of its body, and leaves the connection open. */
async function sendHalf(
  { url, openToken }: ServerProcess,
  sentBytes: number,
): Promise<Deno.TcpConn> {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const head = `POST /me/repo/filter-objects HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
    `Authorization: Bearer ${openToken}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${BODY_BYTES}\r\n\r\n`;
  const bytes = new Uint8Array(head.length + sentBytes).fill(0x20);
  bytes.set(encoder.encode(head));
  (async () => {
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  })().catch(() => {});
  return connection;
}

/** The status of the answer; undefined if the connection ends without one. */
async function statusOf(connection: Deno.TcpConn): Promise<number | undefined> {
  const buffer = new Uint8Array(4096);
  let text = "";
  try {
    for (let count; (count = await connection.read(buffer)) !== null;) {
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch {
    // Reset.
  }
  connection.close();
  return text === "" ? undefined : Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
}

async function filter({ url, openToken }: ServerProcess): Promise<number> {
  const response = await fetch(`${url}/me/repo/filter-objects`, {
    method: "POST",
    headers: { authorization: `Bearer ${openToken}`, "content-type": "application/json" },
    body: `{"object_ids":["sha256:${"0".repeat(64)}"]}`,
  });
  await response.arrayBuffer();
  return response.status;
}

Deno.test("half-sent bodies use up a budget, and short requests are still answered", async () => {
  await using server = await startServer({ env: { MPACK_HTTP_IDLE_MS: "3000" } });
  assert.equal(await filter(server), 200);
  const before = await server.peakMib();
  const connections = await Promise.all(
    Array.from({ length: BODIES }, () => sendHalf(server, BODY_BYTES - 1)),
  );
  const statuses = Promise.all(connections.map(statusOf));
  assert.equal(await filter(server), 200);
  const seen = new Set(await statuses);
  // Which of them fill the budget is chance: perhaps all are refused together.
  assert.ok(seen.has(503), [...seen].join());
  assert.ok([...seen].every((status) => [408, 503, undefined].includes(status)), [...seen].join());
  const grown = await server.peakMib() - before;
  assert.ok(grown < GROWTH_MIB, `${Math.round(grown)} MiB more`);
  // The budget is free again.
  assert.equal(await statusOf(await sendHalf(server, 1 * MIB)), 408);
  await server.assertUnharmed();
});

Deno.test("a body that trickles is cut by its rate", async () => {
  const env = { MPACK_HTTP_IDLE_MS: "1000", MPACK_HTTP_MIN_RATE: "100000" };
  await using server = await startServer({ env });
  const connection = await sendHalf(server, 1);
  let status: number | undefined, isOver = false;
  const answered = statusOf(connection).then((found) => {
    status = found;
    isOver = true;
  });
  // Never silent for long, and far from the limit of an hour.
  await until("it is answered", async () => {
    await connection.write(encoder.encode(" ")).catch(() => {});
    return isOver;
  }, { everyMs: 50 });
  await answered;
  assert.equal(status, 408);
});
