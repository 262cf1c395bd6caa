import assert from "node:assert/strict";
import { parseBytes, parseChoice, parseDuration } from "../../src/cli/flags.ts";
import { loadConfig } from "../../src/config/config.ts";
import { readBytes, readMs } from "../../src/lib/text/quantities.ts";

Deno.test("times and sizes are read with their units, and nothing else is", () => {
  const times = {
    "250ms": 250,
    "10s": 10_000,
    "1.5m": 90_000,
    "12 h": 43_200_000,
    "1w": 604_800_000,
  };
  for (const [text, ms] of Object.entries(times)) assert.equal(readMs(text), ms, text);
  for (
    const text of [
      "30",
      "",
      "1y",
      "-1s",
      "1.0000001s",
      "1e3s",
      "s",
      "0.0001ms",
      "9".repeat(15) + "d",
    ]
  ) {
    assert.equal(readMs(text), undefined, text);
  }
  const sizes = {
    "0": 0,
    "512": 512,
    "64KiB": 65_536,
    "1.5GiB": 1.5 * 2 ** 30,
    "500MB": 5e8,
    "2B": 2,
  };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(readBytes(text), bytes, text);
  for (const text of ["", "1K", "MiB", "-1", "0.3B", "1mib", "constructor", "9".repeat(16)]) {
    assert.equal(readBytes(text), undefined, text);
  }
});

Deno.test("settings and options take them alike, and an error says how to write them", () => {
  const config = loadConfig({
    MPACK_LEASE_MS: "45s",
    MPACK_POLL_MS: "250",
    MPACK_MAX_PACK_BYTES: "2GB",
    MPACK_HTTP_PRESIGN_SECONDS: "15m",
  });
  assert.deepEqual(
    [config.leaseMs, config.pollMs, config.maxPackBytes, config.httpPresignSeconds],
    [45_000, 250, 2e9, 900],
  );
  assert.throws(() => loadConfig({ MPACK_HTTP_PRESIGN_SECONDS: "90.5s" }), /MPACK_HTTP_PRESIGN/);
  assert.throws(() => loadConfig({ MPACK_CONCURRENCY: "4s" }), /MPACK_CONCURRENCY/);
  assert.equal(parseDuration("--since", "2h"), 7_200_000);
  assert.throws(() => parseDuration("--since", "30"), /it has no unit; write it like 30d/);
  assert.equal(parseBytes("--pack-bytes", "1GiB"), 2 ** 30);
  assert.throws(
    () => parseBytes("--part-bytes", "1MiB", { min: 5_242_880 }),
    /less than 5,242,880/,
  );
  assert.throws(
    () => parseChoice("--status", "faild", ["failed", "done"]),
    /did you mean failed\?/,
  );
});
