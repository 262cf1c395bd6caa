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
  await t.step("from a range, by the field that is configured", async () => {
    const env = {
      ...limit,
      MPACK_HTTP_PROXIES: "10.0.0.1, 127.0.0.0/8",
      MPACK_HTTP_FORWARDED: "forwarded",
    };
    await using api = await startApi({ worker: false, env });
    const ask = async (forwarded: string, other = "198.51.100.7") => {
      const headers = { forwarded, "x-forwarded-for": other };
      return (await api.anonymous.send("/api/jobs", { headers })).status;
    };
    // A client may write the other field, and the first entries.
    for (let i = 0; i < 3; i++) {
      const entries = [
        `for=198.51.100.${i}`,
        `proto=http;for="192.0.2.1:${4_000 + i}";by=x`,
        "for=10.0.0.1",
      ];
      assert.equal(await ask(entries.join(", "), `198.51.100.${i}`), 401);
    }
    assert.equal(await ask("For=192.0.2.1", "198.51.100.9"), 429);
    for (let i = 0; i < 3; i++) assert.equal(await ask(`for="[2001:db8::${i}]:47${i}"`), 401);
    assert.equal(await ask('for="[2001:db8::ff]"'), 429);
    assert.equal(await ask('for="[2001:db8:1::ff]"'), 401);
  });
});

Deno.test("connections of a configured proxy are capped in all, not per address", async (t) => {
  const cap = { MPACK_HTTP_CONNECTIONS_PER_ADDRESS: "4" };
  const openMany = async (url: string) => {
    const { hostname, port } = new URL(url);
    const connections = await Promise.all(
      Array.from({ length: 12 }, () => Deno.connect({ hostname, port: Number(port) })),
    );
    // The quietest ones of an address that has too many are closed.
    const gone = await Promise.all(connections.map(async (connection) => {
      const timer = Promise.withResolvers<false>();
      const id = setTimeout(() => timer.resolve(false), 1_000);
      const read = connection.read(new Uint8Array(1)).then((n) => n === null, () => true);
      const isGone = await Promise.race([read, timer.promise]);
      clearTimeout(id);
      connection.close();
      await read;
      return isGone;
    }));
    return gone.filter(Boolean).length;
  };
  await t.step("a stranger's", async () => {
    await using api = await startApi({ worker: false, env: cap });
    assert.ok(await openMany(api.url) >= 8);
  });
  await t.step("a proxy's", async () => {
    await using api = await startApi({
      worker: false,
      env: { ...cap, MPACK_HTTP_PROXIES: "127.0.0.1" },
    });
    assert.equal(await openMany(api.url), 0);
  });
});
