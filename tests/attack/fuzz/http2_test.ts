import assert from "node:assert/strict";
import { fuzzHttp2, sendFrames } from "../../support/attack/fuzz_http2.ts";
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  type Frame,
  frame,
  headerBlock,
  HEADERS,
  indexedField,
  OPENING,
  PING,
  PREFACE,
  PRIORITY,
  requestFields,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../support/attack/http2.ts";
import { assertNoHold, startServer } from "../../support/http/server_process.ts";
import { concat } from "../../support/store/blobs.ts";

/** MPACKD_FUZZ_REQUESTS=100000 for a long run; MPACKD_FUZZ_SEED repeats one. */
const CONNECTIONS = Number(Deno.env.get("MPACKD_FUZZ_REQUESTS") ?? 200);
const SEED = Number(Deno.env.get("MPACKD_FUZZ_SEED") ?? 20_261_127);
const GROWTH_MIB = 150;
const FLOOD = 10_000;
const many = (count: number, make: (i: number) => Frame) =>
  concat([OPENING, ...Array.from({ length: count }, (_, i) => frame(make(i)))]);
const block = headerBlock(requestFields("/healthz"));
const FILL = new Uint8Array(16_000).fill(0x61);

/** Connections that ask for endless work or memory. */
const FLOODS: Record<string, () => Uint8Array> = {
  "rapid resets": () =>
    many(FLOOD, (i) => {
      const stream = 2 * (i >> 1) + 1;
      return i % 2 === 0
        ? { type: HEADERS, flags: END_HEADERS | END_STREAM, stream, payload: block }
        : { type: RST_STREAM, stream, payload: Uint8Array.from([0, 0, 0, 8]) };
    }),
  "a head that never ends": () =>
    many(2_000, (i) => ({
      type: i === 0 ? HEADERS : CONTINUATION,
      stream: 1,
      payload: i === 0 ? block : FILL,
    })),
  "empty continuations": () =>
    many(FLOOD, (i) => ({
      type: i === 0 ? HEADERS : CONTINUATION,
      stream: 1,
      ...(i === 0 ? { payload: block } : {}),
    })),
  "settings": () => many(FLOOD, () => ({ type: SETTINGS })),
  "pings": () => many(FLOOD, () => ({ type: PING, payload: new Uint8Array(8) })),
  "empty data": () =>
    many(FLOOD, (i) =>
      i === 0
        ? {
          type: HEADERS,
          flags: END_HEADERS,
          stream: 1,
          payload: headerBlock(requestFields("/api/repos", "POST")),
        }
        : { type: DATA, stream: 1 }),
  "priorities": () =>
    many(FLOOD, (i) => ({
      type: PRIORITY,
      stream: 2 * i + 1,
      payload: Uint8Array.from([0, 0, 0, 0, 16]),
    })),
  "window updates": () =>
    many(FLOOD, () => ({ type: WINDOW_UPDATE, payload: Uint8Array.from([0, 0, 0, 1]) })),
  "heads that grow out of a table": () => {
    // One byte stands for 4 KB: 16 KB for 64 MB.
    const fields = headerBlock(requestFields("/healthz"));
    const bomb = concat([
      fields,
      indexedField("x", "y".repeat(4_000)),
      new Uint8Array(12_000).fill(0xbe),
    ]);
    return concat([
      OPENING,
      ...Array.from(
        { length: 20 },
        (_, i) =>
          frame({
            type: HEADERS,
            flags: END_HEADERS | END_STREAM,
            stream: 2 * i + 1,
            payload: bomb,
          }),
      ),
    ]);
  },
  "answers that are not taken": () => {
    // A window of 0 for each of many streams.
    const zero = frame({ type: SETTINGS, payload: Uint8Array.from([0, 4, 0, 0, 0, 0]) });
    const ask = headerBlock(requestFields("/openapi.json"));
    return concat([
      PREFACE,
      zero,
      ...Array.from(
        { length: 1_000 },
        (_, i) =>
          frame({
            type: HEADERS,
            flags: END_HEADERS | END_STREAM,
            stream: 2 * i + 1,
            payload: ask,
          }),
      ),
    ]);
  },
};

Deno.test("no HTTP/2 frames make the server answer 500, log an error or grow", async () => {
  await fuzzHttp2(CONNECTIONS, SEED);
});

Deno.test("an HTTP/2 connection that asks for endless work takes neither time nor memory", async (t) => {
  const env = { MPACK_HTTP_IDLE_MS: "500", MPACK_HTTP_HEAD_MS: "500" };
  await using server = await startServer({ env });
  await fetch(`${server.url}/openapi.json`).then((response) => response.arrayBuffer());
  for (const [name, make] of Object.entries(FLOODS)) {
    await t.step(name, async () => {
      const bytes = make(), before = await server.peakMib();
      await assertNoHold(server, async () => {
        await Promise.all([1, 2, 3].map(() => sendFrames(server, bytes)));
      });
      const grown = await server.peakMib() - before;
      assert.ok(grown < GROWTH_MIB, `${Math.round(grown)} MiB more`);
    });
  }
  await server.assertUnharmed();
});
