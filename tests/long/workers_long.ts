/**
 * The worker at full size: `deno task test:long`.
 *
 * @module
 */

import assert from "node:assert/strict";
import postgres from "postgres";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { enqueue, getJob } from "../../src/jobs/queue/mod.ts";
import { runChaos } from "../support/process/chaos.ts";
import { startTestServer } from "../support/postgres/test_server.ts";
import { startWorkerProcess } from "../support/process/worker_process.ts";
import { createWorld } from "../support/process/worlds.ts";

const GIB = 1024 ** 3;

Deno.test("eight workers, one killed every two seconds, do 2,000 jobs of 20 repos once each", async () => {
  const { kills, rescues } = await runChaos({
    workers: 8,
    jobs: 2_000,
    repos: 20,
    killEveryMs: 2_000,
  });
  assert(kills > 0 && rescues > 0, `${kills} kills, ${rescues} rescues`);
});

Deno.test("a minute of terminated backends and an immediate restart lose no job and no process", async () => {
  await using server = await startTestServer();
  const admin = postgres(server.url, { max: 1, onnotice: () => {} });
  // Early, when all the jobs are still there, and at the end of the minute.
  const restartsAt = [10_000, 55_000];
  let startedAt: number | undefined, terminated = 0, restarts = 0;
  await runChaos({
    workers: 4,
    jobs: 1_500,
    repos: 10,
    killEveryMs: 250,
    kill: false,
    minimumMs: 60_000,
    databaseUrl: server.url,
    disturb: async () => {
      startedAt ??= performance.now();
      if (performance.now() - startedAt > restartsAt[restarts]) {
        restarts++;
        return await server.restart();
      }
      const rows = await admin`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name like 'mpackd%' order by random() limit 3`.catch(() => []);
      terminated += rows.length;
    },
  });
  await admin.end({ timeout: 1 });
  assert(terminated > 100 && restarts === 2, `${terminated} terminated, ${restarts} restarts`);
});

Deno.test("SIGTERM during a pack of 1 GiB gives it back uncounted, and another worker goes on", async () => {
  await using world = await createWorld();
  const path = `${world.folder}/made.mpack`;
  const size = { kind: "range", minBytes: 262_144, maxBytes: 262_144 } as const;
  const pack = makeMpack({ objects: GIB / 262_144, size, commits: 1, snapshots: 1 });
  await Deno.writeFile(path, ReadableStream.from(pack));
  const hash = await new Deno.Command("sha256sum", { args: [path], stdout: "piped" }).output();
  const mpackKey = `sha256:${new TextDecoder().decode(hash.stdout).slice(0, 64)}`;
  const { repoId } = world.repo;
  await Deno.mkdir(`${world.folder}/mpacks/${repoId}`, { recursive: true });
  await Deno.rename(path, world.blobPath(mpackKey));
  const payload = { mpack_key: mpackKey };
  const { row } = await enqueue(world.db, { repoId, jobType: "mpack.index", payload });

  const env = { MPACK_LOG_LEVEL: "debug", MPACK_BATCH_ROWS: "100" };
  await using first = startWorkerProcess({ ...world, env, args: ["--drain-ms", "200"] });
  await first.line(({ message }) => / claimed, /.test(message));
  while ((await getJob(world.db, row.jobId))!.progress === null) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  first.kill("SIGTERM");
  assert.equal((await first.status).code, 0);
  const { status, attempt } = (await getJob(world.db, row.jobId))!;
  assert.deepEqual([status, attempt], ["pending", 0]);

  await using second = startWorkerProcess({ ...world, env, args: ["--drain"] });
  assert.equal((await second.status).code, 0);
  const done = (await getJob(world.db, row.jobId))!;
  assert.deepEqual([done.status, done.attempt], ["done", 1]);
  const result = done.result as { objects_total: number; resumed_from_byte: number };
  assert.equal(result.objects_total, GIB / 262_144);
  assert(result.resumed_from_byte > 0);
});
