import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { type ServerProcess, startServer } from "../support/http/server_process.ts";
import { until } from "../support/until.ts";

const encoder = new TextEncoder();

/** Opens `count` connections, each of which sends `first` and then nothing. */
async function openMany(server: ServerProcess, count: number, first = ""): Promise<Deno.Conn[]> {
  const { hostname, port } = new URL(server.url);
  const connections: Deno.Conn[] = [];
  for (let i = 0; i < count; i++) {
    const connection = await Deno.connect({ hostname, port: Number(port) });
    connections.push(connection);
    await connection.write(encoder.encode(first)).catch(() => {});
  }
  return connections;
}

/** Reads until the server closes the connection. */
async function isClosed(connection: Deno.Conn): Promise<true> {
  const buffer = new Uint8Array(4096);
  try {
    while (await connection.read(buffer) !== null);
  } catch {
    // Reset.
  }
  connection.close();
  return true;
}

async function status(server: ServerProcess): Promise<number> {
  const response = await fetch(`${server.url}/openapi.json`);
  await response.arrayBuffer();
  return response.status;
}

const HEADS: Record<string, string> = {
  "nothing": "",
  "half a request line": "GET /healthz HT",
  "a head without its end": "GET /healthz HTTP/1.1\r\nHost: x\r\n",
  "half an HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n",
  "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
};

Deno.test("a thousand silent sockets do not keep a client out, and are closed", async (t) => {
  await using server = await startServer({ env: { MPACK_HTTP_HEAD_MS: "2000" } });
  for (const [name, head] of Object.entries(HEADS)) {
    await t.step(name, async () => {
      const connections = await openMany(server, name === "nothing" ? 1_000 : 50, head);
      assert.equal(await status(server), 200, server.log());
      await Promise.all(connections.map(isClosed));
    });
  }
  await server.assertUnharmed();
});

Deno.test("a server without free file descriptors goes on", async () => {
  await using server = await startServer({ maxFiles: 300, env: { MPACK_HTTP_HEAD_MS: "2000" } });
  const connections = await openMany(server, 1_000);
  await Promise.all(connections.map(isClosed));
  assert.equal(await status(server), 200);
  await server.assertUnharmed();
});

Deno.test("a slow head is cut however often it sends a byte", async () => {
  await using server = await startServer({ env: { MPACK_HTTP_HEAD_MS: "1000" } });
  const [connection] = await openMany(server, 1, "GET / HTTP/1.1\r\nX: ");
  let isOpen = true;
  const closed = isClosed(connection).then(() => isOpen = false);
  await until("it is cut", async () => {
    await connection.write(encoder.encode("x")).catch(() => {});
    return !isOpen;
  }, { everyMs: 50 });
  await closed;
});

Deno.test("an idle keep-alive connection is closed, a waiting request is not", async () => {
  const env = { MPACK_HTTP_IDLE_MS: "500", MPACK_HTTP_HEAD_MS: "500" };
  await using server = await startServer({ env });
  const { repo, put } = server.fixture;
  const host = new URL(server.url).host, bearer = `Authorization: Bearer ${server.openToken}`;
  const mpackKey = await put(new Uint8Array([0x80]));
  // Answers after 2 s, for there is no worker: four times as long as a quiet connection lives.
  const body = JSON.stringify({ mpack_key: mpackKey });
  const [waiting] = await openMany(
    server,
    1,
    `POST /${repo.owner}/${repo.slug}/push/unpack-mpack HTTP/1.1\r\nHost: ${host}\r\n${bearer}\r\n` +
      `Prefer: wait=2\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n` +
      body,
  );
  const buffer = new Uint8Array(4096);
  const count = await waiting.read(buffer);
  assert.match(new TextDecoder().decode(buffer.subarray(0, count!)), /^HTTP\/1\.1 202 /);
  // And now it is idle.
  await isClosed(waiting);
  await server.assertUnharmed();
});

Deno.test("connections at once are capped per address and in all; quiet ones make room", async () => {
  const env = { MPACK_HTTP_CONNECTIONS_PER_ADDRESS: "5", MPACK_HTTP_CONNECTIONS: "8" };
  await using server = await startServer({ env });
  const connections = await openMany(server, 9);
  // The longest quiet ones are gone.
  await Promise.all(connections.slice(0, 4).map(isClosed));
  assert.equal(await status(server), 200);
  for (const connection of connections.slice(4)) connection.close();
});

Deno.test("a server ends well although a request does not end in time", async () => {
  await using server = await startServer({ env: { MPACK_DRAIN_MS: "300" } });
  const { databaseUrl } = server.fixture;
  const other = connectDatabase(databaseUrl, { maxConnections: 1 });
  await using _other = { [Symbol.asyncDispose]: () => other.close() };
  await other.sql`begin`;
  await other.sql`lock table musehub_background_jobs in access exclusive mode`;
  const headers = { authorization: `Bearer ${server.openToken}` };
  const answer = fetch(`${server.url}/api/jobs`, { headers }).then(({ status }) => status, () => 0);
  for (let waiting = 0; waiting === 0;) {
    [{ waiting }] = await server.fixture.db.sql<{ waiting: number }[]>`
      select count(*)::int as waiting from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
  }
  const code = await server.stop();
  assert.equal(code, 0, server.log());
  assert.ok([0, 503].includes(await answer));
  await other.sql`rollback`;
});
