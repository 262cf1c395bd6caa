import { assertNoHoldOf } from "../support/http/assert_no_hold.ts";

/** Of the bodies for each route; tests/long/event_loop_long.ts sends all of them. */
const EVERY = 3;

Deno.test("no body holds the event loop of the server, on any route", async (t) => {
  await assertNoHoldOf(t, { every: EVERY });
});
