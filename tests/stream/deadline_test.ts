import assert from "node:assert/strict";
import { patiently } from "../../src/stream/deadline.ts";

const { signal } = new AbortController();

Deno.test("patiently() gives up on an answer that does not come, and lets go of one that is late", async () => {
  const answer = Promise.withResolvers<string>();
  const late: string[] = [];
  const options = { deadlineMs: 1, action: "open it", signal, onLate: (v: string) => late.push(v) };
  await assert.rejects(patiently(answer.promise, options), {
    code: "store-unavailable",
    message: "Cannot open it: no answer in 1 ms",
  });
  answer.resolve("reader");
  await answer.promise;
  await Promise.resolve();
  assert.deepEqual(late, ["reader"]);
});

Deno.test("patiently() ends with the signal's reason, and passes on what comes in time", async () => {
  const stop = new AbortController();
  const options = { deadlineMs: 60_000, action: "open it", signal: stop.signal };
  assert.equal(await patiently(Promise.resolve(7), options), 7);
  await assert.rejects(patiently(Promise.reject(new RangeError("far")), options), RangeError);
  const waiting = patiently(new Promise(() => {}), options);
  stop.abort(new TypeError("stopped"));
  await assert.rejects(waiting, TypeError);
});

Deno.test("patiently() ends each wait in its own time, whichever began first", async () => {
  const ended: string[] = [], never = new Promise<string>(() => {});
  const wait = (action: string, deadlineMs: number, answer = never) =>
    patiently(answer, { deadlineMs, action }).catch(() => {}).then(() => ended.push(action));
  const answer = Promise.withResolvers<string>();
  const last = wait("answered", 60_000, answer.promise);
  await Promise.all([wait("long", 40), wait("short", 1), wait("middle", 20)]);
  answer.resolve("");
  await last;
  assert.deepEqual(ended, ["short", "middle", "long", "answered"]);
});
