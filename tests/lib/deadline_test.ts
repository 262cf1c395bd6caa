import assert from "node:assert/strict";
import { withDeadline } from "../../src/lib/deadline.ts";

const { signal } = new AbortController();

Deno.test("withDeadline() gives up on an answer that does not come, and lets go of one that is late", async () => {
  const answer = Promise.withResolvers<string>();
  const late: string[] = [];
  const options = { deadlineMs: 1, action: "open it", signal, onLate: (v: string) => late.push(v) };
  await assert.rejects(withDeadline(answer.promise, options), {
    code: "store-unavailable",
    message: "Cannot open it: no answer in 1 ms",
  });
  answer.resolve("reader");
  await answer.promise;
  await Promise.resolve();
  assert.deepEqual(late, ["reader"]);
});

Deno.test("withDeadline() ends with the signal's reason, and passes on what comes in time", async () => {
  const stop = new AbortController();
  const options = { deadlineMs: 60_000, action: "open it", signal: stop.signal };
  assert.equal(await withDeadline(Promise.resolve(7), options), 7);
  await assert.rejects(withDeadline(Promise.reject(new RangeError("far")), options), RangeError);
  const waiting = withDeadline(new Promise(() => {}), options);
  stop.abort(new TypeError("stopped"));
  await assert.rejects(waiting, TypeError);
});

Deno.test("withDeadline() ends each wait in its own time, whichever began first", async () => {
  const answer = Promise.withResolvers<string>();
  const wait = (deadlineMs: number, given = new Promise<string>(() => {})) =>
    withDeadline(given, { deadlineMs, action: "read" });
  // Longer than any run of the tests: whoever waits for its timer hangs.
  const long = wait(2 ** 31 - 1, answer.promise);
  const isLate = { code: "store-unavailable" };
  const later = assert.rejects(wait(20), isLate);
  await assert.rejects(wait(1), isLate);
  await later;
  answer.resolve("read");
  assert.equal(await long, "read");
});
