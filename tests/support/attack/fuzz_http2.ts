/**
 * Sends random HTTP/2 frames to a server process, and looks for what must not happen.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MAX_HOLD_MS, type ServerProcess, startServer } from "../http/server_process.ts";
import { concat } from "../store/blobs.ts";
import {
  END_HEADERS,
  END_STREAM,
  frame,
  headerBlock,
  HEADERS,
  makeConnection,
  OPENING,
  requestFields,
} from "./http2.ts";
import { generator } from "./random.ts";

const AT_ONCE = 20;
const GROWTH_MIB = 150;
/** The whole of a HEADERS frame whose status is 500, by the static table of HPACK. */
const STATUS_500 = 0x8e;

/** Sends bytes, and reads frames until the server closes; returns the first byte of each head. */
export async function sendFrames(server: ServerProcess, bytes: Uint8Array): Promise<number[]> {
  const { hostname, port } = new URL(server.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const sending = (async () => {
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  })().catch(() => {});
  const parts: Uint8Array[] = [], buffer = new Uint8Array(65_536);
  try {
    for (let count; (count = await connection.read(buffer)) !== null;) {
      parts.push(buffer.slice(0, count));
    }
  } catch {
    // Reset.
  }
  await sending;
  const answer = concat(parts), heads: number[] = [];
  for (let at = 0; at + 9 < answer.length;) {
    const length = answer[at] << 16 | answer[at + 1] << 8 | answer[at + 2];
    if (answer[at + 3] === HEADERS) heads.push(answer[at + 9]);
    at += 9 + length;
  }
  return heads;
}

/**
 * Opens `connections` with random frames. No answer may be 500, no error line may be logged, the event
 * loop may not be held, and the memory may not grow.
 */
export async function fuzzHttp2(connections: number, seed: number): Promise<void> {
  console.log(`${connections} connections, MPACKD_FUZZ_SEED=${seed}`);
  const random = generator(seed);
  const env = { MPACK_HTTP_IDLE_MS: "300", MPACK_HTTP_HEAD_MS: "300" };
  await using server = await startServer({ env });
  const warmUp = frame({
    type: HEADERS,
    flags: END_HEADERS | END_STREAM,
    stream: 1,
    payload: headerBlock(requestFields("/healthz")),
  });
  // 0x88 is the status 200.
  assert.deepEqual(await sendFrames(server, concat([OPENING, warmUp])), [0x88]);
  const before = await server.peakMib();
  await server.longestHoldMs();
  let left = connections;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (left-- > 0) {
      const bytes = makeConnection(random), heads = await sendFrames(server, bytes);
      assert.ok(!heads.includes(STATUS_500), bytes.toHex());
    }
  }));
  const grown = await server.peakMib() - before, holdMs = await server.longestHoldMs();
  assert.ok(grown < GROWTH_MIB, `${Math.round(grown)} MiB more`);
  assert.ok(holdMs <= MAX_HOLD_MS, `the event loop was held for ${Math.round(holdMs)} ms`);
  await server.assertUnharmed();
}
