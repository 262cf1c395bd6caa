import assert from "node:assert/strict";
import { enqueue, getJob } from "../../../src/jobs/queue/mod.ts";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { concat } from "../../support/mpack/mpacks.ts";
import { endedTwice, installOracle } from "../../support/postgres/publish_oracle.ts";
import { freePort } from "../../support/process/free_port.ts";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";

const MIB = 1024 * 1024;

async function packOf(shape: Parameters<typeof makeMpack>[0]): Promise<Uint8Array> {
  return concat(await Array.fromAsync(makeMpack(shape), (chunk) => chunk.slice()));
}

const SMALL = { objects: 20, size: { kind: "range", minBytes: 1, maxBytes: 99 } } as const;

async function add(fixture: TestFixture, bytes: Uint8Array): Promise<string> {
  const payload = { mpack_key: await fixture.put(bytes) };
  const { repoId } = fixture.repo;
  return (await enqueue(fixture.db, { repoId, jobType: "mpack.index", payload })).row.jobId;
}

Deno.test("worker runs inserted jobs, answers probes, and ends cleanly at SIGTERM", async (t) => {
  await using fixture = await createFixture();
  const port = freePort();
  await using worker = startWorkerProcess({
    ...fixture,
    args: ["--http-port", String(port), "--poll-ms", "600000"],
  });
  const ask = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
  await worker.line(({ message }) => message === "Listening for new jobs");
  await t.step("a row with only the base columns, by NOTIFY", async () => {
    const key = await fixture.put(await packOf(SMALL));
    await fixture.db.sql`insert into musehub_background_jobs
      (job_id, repo_id, job_type, payload, status, created_at, attempt)
      values ('theirs', ${fixture.repo.repoId}, 'mpack.index', ${`{"mpack_key":"${key}"}`}::text::json,
        'pending', now(), 0)`;
    const line = await worker.line(({ outcome }) => outcome === "done");
    assert.deepEqual([line.job_id, line.repo_id], ["theirs", fixture.repo.repoId]);
    assert.equal((await getJob(fixture.db, "theirs"))!.status, "done");
  });
  await t.step("/healthz, /readyz, /metrics", async () => {
    assert.equal(await (await ask("/healthz")).text(), "ok\n");
    const ready = await ask("/readyz");
    assert.deepEqual(await ready.json(), {
      ready: true,
      checks: { database: true, store: true, not_draining: true, polled_lately: true },
    });
    const metrics = await (await ask("/metrics")).text();
    for (
      const sample of [
        'mpackd_jobs{status="done"} 1',
        'mpackd_claims_total{job_type="mpack.index"} 1',
        'mpackd_attempts_total{job_type="mpack.index",outcome="done",code=""} 1',
        "mpackd_objects_total 20",
        'mpackd_rows_total{table="musehub_object_refs"} 20',
        'mpackd_phase_duration_seconds_count{phase="publish"} 1',
        "mpackd_listening 1",
      ]
    ) assert(metrics.includes(`${sample}\n`), `${sample} is not in\n${metrics}`);
    assert.equal(await ask("/elsewhere").then((answer) => answer.body?.cancel()), undefined);
  });
  worker.kill("SIGTERM");
  const { code } = await worker.status;
  assert.equal(code, 0);
});

Deno.test("worker --drain ends when the queue is empty; a rejected pack fails once, with its reason", async () => {
  await using fixture = await createFixture();
  const whole = await packOf(SMALL);
  const good = await add(fixture, whole);
  const bad = await add(fixture, new Uint8Array([...whole, 0xc0]));
  await using worker = startWorkerProcess({ ...fixture, args: ["--drain"] });
  assert.equal((await worker.status).code, 0);
  assert.equal((await getJob(fixture.db, good))!.status, "done");
  const { status, attempt, lastError } = (await getJob(fixture.db, bad))!;
  assert.deepEqual([status, attempt, lastError!.code], ["failed", 1, "trailing-bytes"]);
});

Deno.test("worker logs once that natively hashed jobs start over, and only then", async () => {
  await using fixture = await createFixture();
  for (const [hash, times] of [["native", 1], ["wasm", 0]] as const) {
    const jobs = [await add(fixture, await packOf({ ...SMALL, seed: 2 + times }))];
    jobs.push(await add(fixture, await packOf({ ...SMALL, seed: 4 + times })));
    const env = { MPACK_HASH: hash };
    await using worker = startWorkerProcess({ ...fixture, args: ["--drain"], env });
    assert.equal((await worker.status).code, 0);
    for (const id of jobs) assert.equal((await getJob(fixture.db, id))!.status, "done");
    await worker.line(({ outcome }) => outcome === "done");
    const said = worker.lines.filter(({ message }) => /interrupted job starts over/.test(message));
    assert.equal(said.length, times);
  }
});

Deno.test("worker stopped past its lease and continued writes nothing and says lease-lost", async () => {
  await using fixture = await createFixture();
  await installOracle(fixture.db);
  // Each chunk of 256 KiB waits for a statement, so the job is long enough to be stopped in.
  const id = await add(
    fixture,
    await packOf({ objects: 500, size: { kind: "range", minBytes: 1, maxBytes: MIB / 2 } }),
  );
  const env = {
    MPACK_LEASE_MS: "1500",
    MPACK_POLL_MS: "200",
    MPACK_BATCH_ROWS: "1",
    MPACK_LOG_LEVEL: "debug",
  };
  await using first = startWorkerProcess({ ...fixture, env });
  await first.line(({ message }) => / claimed, /.test(message));
  first.kill("SIGSTOP");
  await using second = startWorkerProcess({ ...fixture, env });
  await second.line(({ job_id, outcome }) => job_id === id && outcome === "done");
  const [before, content] = [await getJob(fixture.db, id), await fixture.dump()];
  assert.equal(before!.fence, 2);
  first.kill("SIGCONT");
  const line = await first.line(({ job_id, outcome }) => job_id === id && outcome !== undefined);
  assert.deepEqual([line.outcome, line.code], ["lost", "lease-lost"]);
  assert.deepEqual(await getJob(fixture.db, id), before);
  assert.equal(await fixture.dump(), content);
  assert.equal(await fixture.staged(), 0);
  assert.deepEqual(await endedTwice(fixture.db), []);
  for (const worker of [first, second]) {
    worker.kill("SIGTERM");
    assert.equal((await worker.status).code, 0);
  }
});

Deno.test("worker sends spans and metrics to OpenTelemetry under OTEL_DENO=true", async () => {
  await using fixture = await createFixture();
  const id = await add(fixture, await packOf(SMALL));
  const bodies = new Map<string, string>();
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const text = new TextDecoder("latin1").decode(await request.arrayBuffer());
      bodies.set(pathname, (bodies.get(pathname) ?? "") + text);
      return new Response();
    },
  );
  await using worker = startWorkerProcess({
    ...fixture,
    args: ["--drain"],
    env: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${server.addr.port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    },
  });
  assert.equal((await worker.status).code, 0);
  // The records are protobuf, where names are plain text.
  for (const name of ["mpack.index", id]) assert(bodies.get("/v1/traces")?.includes(name), name);
  for (const name of ["mpackd.claims", "mpackd.attempt_duration", "mpackd.bytes"]) {
    assert(bodies.get("/v1/metrics")?.includes(name), name);
  }
});
