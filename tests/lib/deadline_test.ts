import assert from "node:assert/strict";
import process from "node:process";
import { startDeadline, withDeadline } from "../../src/lib/deadline.ts";

const { signal } = new AbortController();
const error = () => new RangeError("Cannot open it: no answer");

Deno.test("withDeadline() throws when the time is up, and passes a late answer to onLate", async () => {
  const answer = Promise.withResolvers<string>();
  const late: string[] = [];
  const options = { deadlineMs: 1, error, signal, onLate: (v: string) => late.push(v) };
  await assert.rejects(withDeadline(answer.promise, options), RangeError);
  answer.resolve("reader");
  await answer.promise;
  await Promise.resolve();
  assert.deepEqual(late, ["reader"]);
});

Deno.test("withDeadline() passes on an answer in time, and rejects with the signal's reason", async () => {
  const stop = new AbortController();
  const options = { deadlineMs: 60_000, error, signal: stop.signal };
  assert.equal(await withDeadline(Promise.resolve(7), options), 7);
  await assert.rejects(withDeadline(Promise.reject(new SyntaxError("bad")), options), SyntaxError);
  const waiting = withDeadline(new Promise(() => {}), options);
  stop.abort(new TypeError("stopped"));
  await assert.rejects(waiting, TypeError);
});

Deno.test("withDeadline() ends each wait at its own time", async () => {
  const answer = Promise.withResolvers<string>();
  const wait = (deadlineMs: number, given = new Promise<string>(() => {})) =>
    withDeadline(given, { deadlineMs, error });
  // Longer than any test run: if this timer is left behind, the test hangs.
  const long = wait(2 ** 31 - 1, answer.promise);
  const later = assert.rejects(wait(20), RangeError);
  await assert.rejects(wait(1), RangeError);
  await later;
  answer.resolve("read");
  assert.equal(await long, "read");
});

Deno.test("startDeadline() ends a wait of no time at once, without a warning", async () => {
  const warnings: Error[] = [], note = (warning: Error) => void warnings.push(warning);
  process.on("warning", note);
  for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => startDeadline(0, resolve));
  process.off("warning", note);
  assert.deepEqual(warnings, []);
});
