/**
 * Services that accept a connection and then stop answering.
 *
 * @module
 */

import assert from "node:assert/strict";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { parseSize } from "../../../scripts/mpack/shape.ts";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { withDeadline } from "../../../src/lib/deadline.ts";
import { collect } from "../../support/store/blobs.ts";
import { runMain } from "../../support/process/main.ts";
import { startTcpProxy } from "../../support/tcp_proxy.ts";
import { createFixture } from "../../support/process/fixture.ts";

const ENV = { MPACK_BATCH_ROWS: "20" };
const OBJECTS = 400;
const PACK = await collect(makeMpack({ objects: OBJECTS, size: parseSize("5000"), seed: 51 }));

Deno.test("indexMpack() throws database-unavailable when the database stops answering, and the next call continues", async () => {
  await using fixture = await createFixture();
  await using proxy = await startTcpProxy(fixture.databaseUrl);
  const key = await fixture.put(PACK);
  const db = connectDatabase(proxy.url, { maxConnections: 4, statementTimeoutMs: 500 });
  const silently = {
    ...fixture.options(key, ENV),
    db,
    onProgress: ({ objects }: { objects: number }) => proxy.isSilent ||= objects > OBJECTS / 2,
  };
  await assert.rejects(indexMpack(silently), { code: "database-unavailable", retryable: true });
  await db.close();
  // The job could not be released.
  await fixture.db.sql`update musehub_background_jobs set lease_expires_at = now()`;
  const { objects_written, resumed_from_byte } = await indexMpack(fixture.options(key, ENV));
  assert.equal(objects_written, OBJECTS);
  assert(resumed_from_byte > 0);
  assert.equal(await fixture.staged(), 0);
});

Deno.test("main.ts push gives up on a server that takes the pack and never answers", async () => {
  const connections: Deno.Conn[] = [];
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const connection of listener) connections.push(connection);
  })();
  const path = await Deno.makeTempFile({ prefix: "mpackd-test-" });
  await Deno.writeFile(path, PACK);
  const remote = `http://127.0.0.1:${listener.addr.port}`;
  const { code, stderr } = await runMain(
    ["push", path, "--remote", remote, "--repo", "me/repo"],
    { MPACK_HTTP_TOTAL_MS: "1000" },
  );
  assert.equal(code, 4, stderr);
  assert.match(stderr, /no answer in 1000 ms \(server-unavailable\)/);
  listener.close();
  await accepting;
  for (const connection of connections) connection.close();
  await Deno.remove(path);
});

Deno.test("indexMpack() throws store-unavailable when a custom store hangs", async (t) => {
  await using fixture = await createFixture();
  const never = () => new Promise<never>(() => {});
  const { store } = fixture;
  const hanging: Record<string, BlobStore> = {
    "open()": { ...store, open: never },
    "read()": {
      ...store,
      async open(...wanted) {
        const { stat, close } = await store.open(...wanted);
        return { stat, read: never, close, [Symbol.asyncDispose]: close };
      },
    },
  };
  const key = await fixture.put(PACK);
  const options = fixture.options(key, { MPACK_STORE_IDLE_MS: "100", MPACK_STORE_RETRIES: "0" });
  for (const [name, store] of Object.entries(hanging)) {
    await t.step(name, async () => {
      const indexing = indexMpack({ ...options, store });
      await assert.rejects(
        withDeadline(indexing, {
          deadlineMs: 30_000,
          error: () => new Error("Cannot end the test"),
        }),
        {
          code: "store-unavailable",
          retryable: true,
          message: /no answer in 200 ms/,
        },
      );
    });
  }
  assert.equal((await indexMpack(options)).objects_written, OBJECTS);
});
