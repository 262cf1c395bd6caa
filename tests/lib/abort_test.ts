import assert from "node:assert/strict";
import { LinkedAbort } from "../../src/lib/abort.ts";

Deno.test("LinkedAbort fires with its caller or alone, and not after its disposal", () => {
  const caller = new AbortController();
  using alone = new LinkedAbort(caller.signal);
  using linked = new LinkedAbort(caller.signal);
  const disposed = new LinkedAbort(caller.signal);
  disposed[Symbol.dispose]();
  using unlinked = new LinkedAbort();
  alone.abort("its own reason");
  assert.equal(caller.signal.aborted, false);
  caller.abort("the caller's");
  assert.equal(alone.signal.reason, "its own reason");
  assert.equal(linked.signal.reason, "the caller's");
  assert.equal(disposed.signal.aborted, false);
  assert.equal(unlinked.signal.aborted, false);
  using late = new LinkedAbort(caller.signal);
  assert.equal(late.signal.reason, "the caller's");
});
