import assert from "node:assert/strict";
import { startApi } from "../support/http/api.ts";

Deno.test("X-Forwarded-For counts only if a configured proxy sends it", async (t) => {
  const limit = { MPACK_HTTP_REQUESTS_PER_MINUTE: "3" };
  await t.step("from a stranger it does not get around the rate limit", async () => {
    await using api = await startApi({ worker: false, env: limit });
    const statuses = [];
    for (let i = 0; i < 6; i++) {
      const headers = { "x-forwarded-for": `192.0.2.${i}` };
      statuses.push((await api.anonymous.send("/api/jobs", { headers })).status);
    }
    assert.ok(statuses.includes(429), statuses.join());
  });
  await t.step("from a proxy its last foreign entry is the client", async () => {
    const env = { ...limit, MPACK_HTTP_PROXIES: "127.0.0.1, 10.0.0.1" };
    await using api = await startApi({ worker: false, env });
    const ask = async (forwarded: string) => {
      const headers = { "x-forwarded-for": forwarded };
      return (await api.anonymous.send("/api/jobs", { headers })).status;
    };
    // The client may write the first entries itself.
    for (let i = 0; i < 3; i++) {
      assert.equal(await ask(`198.51.100.${i}, 192.0.2.1, 10.0.0.1`), 401);
    }
    assert.equal(await ask("198.51.100.9, 192.0.2.1, 10.0.0.1"), 429);
    assert.equal(await ask("192.0.2.2"), 401);
    assert.equal(await ask("nonsense"), 401);
  });
});
