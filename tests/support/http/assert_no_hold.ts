/**
 * Sends the worst bodies to every route, and looks at the event loop.
 *
 * @module
 */

import assert from "node:assert/strict";
import { badRequests } from "./bad_bodies.ts";
import { assertNoHold, startServer } from "./server_process.ts";

/** Sends one of `every` of them, each in a step of `t`. */
export async function assertNoHoldOf(
  t: Deno.TestContext,
  { every }: { readonly every: number },
): Promise<void> {
  await using server = await startServer();
  const description = await (await fetch(`${server.url}/openapi.json`)).json();
  const authorization = `Bearer ${server.openToken}`;
  let i = 0;
  for await (const { name, method, path, headers, body } of badRequests(description)) {
    if (i++ % every !== 0) continue;
    await t.step(name, async () => {
      await assertNoHold(server, async () => {
        const init = { method, headers: { ...headers, authorization }, body };
        const response = await fetch(server.url + path, init);
        await response.arrayBuffer();
        assert.ok(response.status < 500, String(response.status));
      });
    });
  }
  assert.ok(i > 100, `only ${i} requests`);
  await server.assertUnharmed();
}
