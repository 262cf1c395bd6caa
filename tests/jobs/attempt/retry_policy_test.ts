import assert from "node:assert/strict";
import { SETTINGS } from "../../../src/config/config.ts";
import { DatabaseError, InvalidMpackError, StoreError } from "../../../src/errors.ts";
import { DEFAULT_MAX_ATTEMPTS } from "../../../src/jobs/queue/job.ts";
import { backoffOf, isRetryable } from "../../../src/jobs/attempt/retry_policy.ts";

const MINUTE_MS = 60_000;

/** All waits of a job together: at most, and on average ("full jitter" draws from 0 to the limit). */
function waitsMs(error: Error): { longest: number; average: number } {
  const { baseDelayMs, maxDelayMs } = backoffOf(error);
  let longest = 0;
  for (let attempt = 1; attempt < DEFAULT_MAX_ATTEMPTS; attempt++) {
    longest += Math.min(maxDelayMs, baseDelayMs * 2 ** (attempt - 1));
  }
  return { longest, average: longest / 2 };
}

Deno.test("DEFAULT_MAX_ATTEMPTS is what the settings say", () => {
  assert.equal(DEFAULT_MAX_ATTEMPTS, SETTINGS.maxAttempts.fallback);
});

Deno.test("backoffOf() waits a few minutes for a blob, and longer for a service", () => {
  const blob = waitsMs(new StoreError("blob-missing", "x"));
  assert(blob.average >= 3 * MINUTE_MS && blob.longest <= 10 * MINUTE_MS, JSON.stringify(blob));
  for (const error of [new StoreError("store-unavailable", "x"), new DatabaseError("x")]) {
    assert(waitsMs(error).average >= 15 * MINUTE_MS);
  }
});

Deno.test("isRetryable() is false for errors that the same bytes cannot heal", () => {
  assert.equal(isRetryable(new InvalidMpackError("truncated", "x")), false);
  assert.equal(isRetryable(new StoreError("store-unavailable", "x", { retryable: false })), true);
  assert.equal(isRetryable(new StoreError("blob-missing", "x")), true);
  assert.equal(isRetryable(new TypeError("a defect")), true);
});
