/**
 * Sends random requests to a server process, and looks for what must not happen.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MAX_HOLD_MS, sendRaw, type ServerProcess, startServer } from "../http/server_process.ts";
import { makeRequests } from "./http1.ts";
import { generator } from "./random.ts";

const AT_ONCE = 20;
const WARM_UP = 200;
const GROWTH_MIB = 150;

async function ask(server: ServerProcess, bytes: string | Uint8Array): Promise<void> {
  const answer = await sendRaw(server.url, bytes);
  for (const [, status] of answer.matchAll(/^HTTP\/1\.[01] (5\d\d)/gm)) {
    const isFine = status === "503" && /^retry-after: /im.test(answer);
    const sent = typeof bytes === "string" ? bytes : String.fromCharCode(...bytes.slice(0, 800));
    assert.ok(isFine, `${JSON.stringify(sent)}\n${answer.slice(0, 500)}`);
  }
}

/**
 * Sends `connections` times a request or several. No answer may be 5xx, but 503 with Retry-After; no
 * error line may be logged; the event loop may not be held, and the memory may not grow.
 */
export async function fuzzHttp1(connections: number, seed: number): Promise<void> {
  console.log(`${connections} connections, MPACKD_FUZZ_SEED=${seed}`);
  const random = generator(seed);
  const env = { MPACK_HTTP_IDLE_MS: "300", MPACK_HTTP_HEAD_MS: "300" };
  await using server = await startServer({ env });
  for (let i = 0; i < WARM_UP; i++) {
    await ask(server, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }
  const before = await server.peakMib();
  await server.longestHoldMs();
  let left = connections;
  // Each goes on by itself: some wait for the deadline of a body that does not come.
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (left-- > 0) await ask(server, makeRequests(random, server.openToken));
  }));
  const grown = await server.peakMib() - before, holdMs = await server.longestHoldMs();
  assert.ok(grown < GROWTH_MIB, `${Math.round(grown)} MiB more`);
  assert.ok(holdMs <= MAX_HOLD_MS, `the event loop was held for ${Math.round(holdMs)} ms`);
  await server.assertUnharmed();
}
