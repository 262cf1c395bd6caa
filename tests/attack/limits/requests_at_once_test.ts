import assert from "node:assert/strict";
import { connect } from "node:http2";
import { startApi } from "../../support/http/api.ts";
import { until } from "../../support/until.ts";

const AT_ONCE = 8;
const env = { MPACK_HTTP_CONNECTIONS_PER_ADDRESS: String(AT_ONCE) };

Deno.test("requests at once of one address are limited, also over one HTTP/2 connection", async () => {
  await using api = await startApi({ worker: false, env });
  const me = await api.identity("me"), { text } = await api.token(me);
  await api.fixture.db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at)
    values ('waits', ${api.fixture.repo.repoId}, 'other.kind', '{}', 'pending', now())`;
  const session = connect(api.url);
  const open = (path: string) =>
    new Promise<{ status: number; close(): void }>((resolve, reject) => {
      const stream = session.request({ ":path": path, authorization: `Bearer ${text}` });
      stream.on("error", reject);
      stream.on("response", (headers) => {
        resolve({ status: headers[":status"]!, close: () => stream.close() });
      });
      stream.resume();
      stream.end();
    });
  // Each runs as long as the job does not end.
  const events = await Promise.all(
    Array.from({ length: AT_ONCE + 4 }, () => open("/api/jobs/waits/events")),
  );
  const running = events.filter(({ status }) => status === 200);
  assert.equal(running.length, AT_ONCE);
  assert.equal(events.filter(({ status }) => status === 429).length, 4);
  assert.equal((await open("/api/jobs")).status, 429);
  // Probes have no part in it.
  assert.notEqual((await open("/healthz")).status, 429);
  running[0].close();
  let status = 429;
  const isAnswered = async () => ({ status } = await open("/api/jobs")).status !== 429;
  await until("a place is free", isAnswered, { everyMs: 0 });
  assert.equal(status, 200);
  session.destroy();
});
