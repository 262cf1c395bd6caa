import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { createIdentity } from "../../src/db/identities.ts";
import { createRepo } from "../../src/db/repos.ts";
import { newSigner, prepare, readAnswer } from "../support/http/api.ts";
import { startServer } from "../support/http/server_process.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

const SHARED = new TextEncoder().encode("in every pack of the attacker");
const OTHER = new TextEncoder().encode("only the victim has this");
/** More than a server has connections. */
const PUSHES = 24;

Deno.test("pushes that wait for a lock keep neither reads nor pushes of others waiting", async () => {
  await using server = await startServer({
    isOpen: false,
    env: { MPACK_HTTP_UPLOADS: "100" },
  });
  const { db } = server.fixture;
  const client = async (handle: string) => {
    const { signer, publicKey } = await newSigner();
    await createIdentity(db, {
      identityId: signer.keyId,
      handle,
      publicKey: publicKey.toBase64(),
      isAgent: false,
      isAdmin: false,
    });
    await createRepo(db, { owner: handle, slug: "repo" });
    return async (path: string, body?: Uint8Array<ArrayBuffer>, signal?: AbortSignal) => {
      const url = `${server.url}/${handle}/repo${path}`;
      const headers: Record<string, string> = body ? { "x-mpack-key": mpackKey(body) } : {};
      const prepared = await prepare(url, { headers, ...(body && { body }) }, signer);
      return await readAnswer(await fetch(url, { ...prepared, ...(signal && { signal }) }));
    };
  };
  const victim = await client("victim"), attacker = await client("attacker");
  const packs = Array.from({ length: PUSHES }, (_, i) => {
    const contents = [SHARED, new TextEncoder().encode(`push ${i}`)];
    return new Uint8Array(
      buildMpack({ objects: contents.map((content) => object({ content })) }),
    );
  });
  const pack = (text: string) =>
    new Uint8Array(buildMpack({ objects: [object({ content: new TextEncoder().encode(text) })] }));
  const first = await victim("/push/stream", pack("only the victim has this"));
  assert.equal(first.status, 200);
  // As another publish does for as long as it runs.
  const other = connectDatabase(server.fixture.databaseUrl, { maxConnections: 1 });
  await using _other = { [Symbol.asyncDispose]: () => other.close() };
  await other.sql`begin`;
  await other.sql`insert into musehub_objects (object_id, storage_uri, size_bytes)
    values (${mpackKey(SHARED)}, 'other', ${SHARED.length})`;
  const pushing = packs.map((bytes) => attacker("/push/stream", bytes));
  const stop = AbortSignal.timeout(20_000);
  try {
    // All pushes have arrived, and some of them wait in the database.
    for (let jobs = 0, waiting = 0; jobs < PUSHES || waiting === 0;) {
      stop.throwIfAborted();
      [{ jobs, waiting }] = await db.sql<{ jobs: number; waiting: number }[]>`
        select (select count(*) from musehub_background_jobs where status = 'running')::int as jobs,
          (select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')::int as waiting`;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const read = await victim(`/objects/${mpackKey(OTHER)}`, undefined, stop);
    assert.deepEqual([read.status, read.bytes], [200, OTHER]);
    const pushed = await victim("/push/stream", pack("more of the victim"), stop);
    assert.equal(pushed.status, 200);
  } finally {
    await other.sql`commit`;
  }
  for (const { status } of await Promise.all(pushing)) assert.equal(status, 200);
});
