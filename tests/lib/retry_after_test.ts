import assert from "node:assert/strict";
import { retryAfterMs } from "../../src/lib/retry_after.ts";

Deno.test("retryAfterMs() reads seconds and dates, and nothing else", () => {
  const nowMs = Date.UTC(2026, 0, 1);
  const cases: [string | null, number | undefined][] = [
    ["0", 0],
    ["120", 120_000],
    ["Thu, 01 Jan 2026 00:00:05 GMT", 5_000],
    ["Wed, 31 Dec 2025 00:00:00 GMT", 0],
    ["soon", undefined],
    ["", undefined],
    [null, undefined],
  ];
  for (const [header, waitMs] of cases) assert.equal(retryAfterMs(header, nowMs), waitMs);
});
