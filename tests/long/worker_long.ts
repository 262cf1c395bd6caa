/**
 * What the documents promise of a worker with the default settings, in seconds.
 *
 * @module
 */

import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { enqueue, getJob } from "../../src/jobs/queue/mod.ts";
import { keyOfPack } from "../support/mpack/pack_key.ts";
import { concat } from "../support/mpack/mpacks.ts";
import { endedTwice, installOracle } from "../support/postgres/publish_oracle.ts";
import { startTcpProxy } from "../support/tcp_proxy.ts";
import { startWorkerProcess } from "../support/process/mpackd_process.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { until } from "../support/until.ts";

const GIB = 1024 ** 3;

async function add(fixture: TestFixture, shape: Parameters<typeof makeMpack>[0]): Promise<string> {
  const chunks = makeMpack({ commits: 1, snapshots: 1, ...shape });
  const bytes = concat(await Array.fromAsync(chunks, (chunk) => chunk.slice()));
  const payload = { mpack_key: await fixture.put(bytes) };
  const { repoId } = fixture.repo;
  return (await enqueue(fixture.db, { repoId, jobType: "mpack.index", payload })).row.jobId;
}

function stopwatch(): () => number {
  const startedAt = performance.now();
  return () => Math.round((performance.now() - startedAt) / 100) / 10;
}

Deno.test("a job whose worker was killed runs again within 45 s, with the default lease", async () => {
  await using fixture = await createFixture();
  await installOracle(fixture.db);
  await using first = startWorkerProcess({ ...fixture, env: { MPACK_LOG_LEVEL: "debug" } });
  await first.line(({ message }) => message === "Listening for new jobs");
  // It writes a checkpoint every few milliseconds, so that it is in the middle when it is killed.
  const id = await add(fixture, { objects: 60_000, size: parseSize("1000"), seed: 41 });
  const hasBegun = async () => (await getJob(fixture.db, id))!.progress !== null;
  await until("the job has a checkpoint", hasBegun, { everyMs: 2 });
  first.kill("SIGKILL");
  const seconds = stopwatch();
  await first.status;
  assert.equal((await getJob(fixture.db, id))!.status, "running");

  await using second = startWorkerProcess(fixture);
  await second.line(({ job_id, message }) => job_id === id && / rescued, /.test(message));
  const rescued = seconds();
  const line = await second.line(({ job_id, outcome }) => job_id === id && outcome === "done");
  console.log(`Killed with SIGKILL: claimed again after ${rescued} s, done after ${seconds()} s`);
  assert(rescued < 45, `${rescued} s`);
  const { attempt, fence, status } = (await getJob(fixture.db, id))!;
  assert.deepEqual([status, attempt, fence], ["done", 2, 2]);
  assert((line.result as { resumed_from_byte: number }).resumed_from_byte > 0);
  assert.deepEqual(await endedTwice(fixture.db), []);
});

Deno.test("a listener cut off in silence costs a poll, and NOTIFY works again within 30 s", async () => {
  await using fixture = await createFixture();
  await using proxy = await startTcpProxy(fixture.databaseUrl);
  const shape = { objects: 5, size: parseSize("100") };
  const databaseUrl = proxy.url, isListening = "Listening for new jobs";
  const done = (id: string) => (line: { job_id?: string; outcome?: string }) =>
    line.job_id === id && line.outcome === "done";

  // One worker at a time: each claims once more after LISTEN, and that could take the other's job.
  await using polling = startWorkerProcess({ ...fixture, databaseUrl });
  await polling.line(({ message }) => message === isListening);
  proxy.silence("mpackd-listener");
  // The claim that comes with LISTEN is over by then.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const polledSeconds = stopwatch();
  await polling.line(done(await add(fixture, { ...shape, seed: 51 })));
  const polledAfter = polledSeconds();
  // The poll interval, and what a job of milliseconds takes on a busy machine.
  assert(polledAfter < 5 + 5, `${polledAfter} s`);
  polling.kill("SIGTERM");
  assert.equal((await polling.status).code, 0);

  // One that is deaf would find nothing for an hour.
  const args = ["--poll-ms", "3600000"];
  await using waiting = startWorkerProcess({ ...fixture, databaseUrl, args });
  await waiting.line(({ message }) => message === isListening);
  proxy.silence("mpackd-listener");
  const seconds = stopwatch();
  const isDeaf = ({ message }: { message: string }) => message.startsWith("Not listening");
  await waiting.line(isDeaf);
  await waiting.line((line) =>
    line.message === isListening &&
    waiting.lines.indexOf(line) > waiting.lines.findIndex(isDeaf)
  );
  const listeningAfter = seconds();
  // The second one is no work of the wake-up that comes with listening again.
  for (const seed of [52, 53]) await waiting.line(done(await add(fixture, { ...shape, seed })));
  console.log(
    `Listener silenced: a job by polling after ${polledAfter} s, listening after ${listeningAfter} s`,
  );
  assert(listeningAfter < 30, `${listeningAfter} s`);
  waiting.kill("SIGTERM");
  assert.equal((await waiting.status).code, 0);
});

Deno.test("SIGTERM during a pack of 1 GiB gives it back uncounted, and another worker goes on", async () => {
  await using fixture = await createFixture();
  const path = `${fixture.folder}/made.mpack`, objects = GIB / 262_144;
  const shape = { objects, size: parseSize("256KiB"), commits: 1, snapshots: 1 };
  await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
  const mpackKey = await keyOfPack(makeMpack(shape));
  const { repoId } = fixture.repo;
  await Deno.mkdir(`${fixture.folder}/mpacks/${repoId}`, { recursive: true });
  await Deno.rename(path, fixture.blobPath(mpackKey));
  const payload = { mpack_key: mpackKey };
  const { row } = await enqueue(fixture.db, { repoId, jobType: "mpack.index", payload });

  const env = { MPACK_LOG_LEVEL: "debug", MPACK_BATCH_ROWS: "100" };
  await using first = startWorkerProcess({ ...fixture, env, args: ["--drain-ms", "200"] });
  await first.line(({ message }) => / claimed, /.test(message));
  const hasBegun = async () => (await getJob(fixture.db, row.jobId))!.progress !== null;
  await until("the job has a checkpoint", hasBegun, { everyMs: 10 });
  first.kill("SIGTERM");
  assert.equal((await first.status).code, 0);
  const { status, attempt } = (await getJob(fixture.db, row.jobId))!;
  assert.deepEqual([status, attempt], ["pending", 0]);

  await using second = startWorkerProcess({ ...fixture, env, args: ["--drain"] });
  assert.equal((await second.status).code, 0);
  const done = (await getJob(fixture.db, row.jobId))!;
  assert.deepEqual([done.status, done.attempt], ["done", 1]);
  const result = done.result as { objects_total: number; resumed_from_byte: number };
  assert.equal(result.objects_total, objects);
  assert(result.resumed_from_byte > 0);
});
