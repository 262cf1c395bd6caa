import { assertNoHoldOf } from "../support/http/assert_no_hold.ts";

Deno.test("none of the worst bodies holds the event loop, on any route", async (t) => {
  await assertNoHoldOf(t, { every: 1 });
});
