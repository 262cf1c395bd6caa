import assert from "node:assert/strict";
import { MPACK_INDEX } from "../../src/jobs/index/payload.ts";
import { enqueue } from "../../src/jobs/queue/mod.ts";
import { runMain } from "../support/process/main.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const SAMPLE = new URL("../corpus/samples/prefixed.mpack", import.meta.url).pathname;

function commandsOf(fixture: TestFixture, more: Readonly<Record<string, string>> = {}) {
  const env = {
    DATABASE_URL: fixture.databaseUrl,
    MPACK_STORE: `file://${fixture.folder}`,
    ...more,
  };
  return async (...args: string[]) => {
    const { code, stdout, stderr } = await runMain([...args, "--json"], env);
    return { code, json: JSON.parse(stdout), stderr };
  };
}

Deno.test("mpackd enqueue leaves a pack, jobs looks at it and puts it right", async (t) => {
  await using fixture = await createFixture();
  const run = commandsOf(fixture);
  const key = `sha256:${"0".repeat(64)}`;
  const first = await run("enqueue", key, "--repo", "me/repo", "--priority", "3");
  const jobId: string = first.json.job_id;
  await t.step("once", async () => {
    assert.deepEqual([first.code, first.json.status, first.json.priority], [0, "pending", 3]);
    assert.equal(first.json.existing, false);
    const again = await run("enqueue", key, "--repo", "me/repo");
    assert.deepEqual([again.json.job_id, again.json.existing], [jobId, true]);
  });
  await t.step("list and show", async () => {
    const { json } = await run("jobs", "list", "--status", "pending", "--repo", "me/repo");
    assert.deepEqual(json.jobs.map((job: { job_id: string }) => job.job_id), [jobId]);
    assert.equal(json.total, 1);
    for (const id of [jobId, jobId.slice(0, 20), jobId.slice("sha256:".length, 20)]) {
      const shown = await run("jobs", "show", id);
      assert.deepEqual(shown.json.payload, { mpack_key: key }, id);
    }
    const env = { DATABASE_URL: fixture.databaseUrl };
    const { stdout } = await runMain(["jobs", "list"], env);
    assert.match(stdout, /^job +status +repo +pack/);
    assert.match(
      stdout,
      new RegExp(`^${jobId.slice(7, 19)}  pending  me/repo  0{12}  mpack.index`, "m"),
    );
  });
  await t.step("cancel, retry, cancel, purge", async () => {
    assert.equal((await run("jobs", "cancel", jobId)).json.status, "cancelled");
    assert.deepEqual((await run("jobs", "retry", jobId)).json, { retried: [jobId] });
    await run("jobs", "cancel", jobId);
    assert.deepEqual((await run("jobs", "retry", "--failed")).json, { retried: [] });
    await fixture.db.sql`update musehub_background_jobs
      set status = 'failed', finished_at = now() - interval '2 hours', last_error = '{"code":"x"}'`;
    const retry = async (...flags: string[]) =>
      (await run("jobs", "retry", "--failed", ...flags)).json;
    assert.deepEqual(await retry("--dry-run", "--code", "x"), { would_retry: 1 });
    assert.deepEqual(await retry("--dry-run", "--code", "y"), { would_retry: 0 });
    assert.deepEqual(await retry("--since", "1h"), { retried: [] });
    assert.deepEqual(await retry("--since", "1d", "--code", "x"), { retried: [jobId] });
    await run("jobs", "cancel", jobId);
    assert.deepEqual((await run("jobs", "purge", "--older-than", "1d")).json, { purged: 0 });
    assert.deepEqual((await run("jobs", "purge", "--older-than", "0s")).json, { purged: 1 });
  });
  const wrong: string[][] = [
    ["jobs", "show", "nothing"],
    ["jobs", "cancel", "nothing"],
    ["jobs", "retry"],
    ["jobs", "list", "--status", "lost"],
    ["jobs", "list", "--limit", "0"],
    ["jobs", "purge", "--older-than", "a while"],
    ["jobs", "frobnicate"],
    ["enqueue", key],
  ];
  for (const args of wrong) {
    await t.step(args.join(" "), async () => {
      const { code, json } = await run(...args);
      assert.deepEqual([code, json.error.code], [2, "config"]);
    });
  }
});

Deno.test("mpackd index takes the job of a process that is gone at once, not when its lease lapses", async () => {
  await using fixture = await createFixture();
  const home = await Deno.makeTempDir();
  // A killed process leaves its file, and the kernel has released its lock.
  await Deno.mkdir(`${home}/workers`);
  await Deno.writeTextFile(`${home}/workers/0123abcd.lock`, "");
  const bytes = await Deno.readFile(SAMPLE), key = await fixture.put(bytes);
  const { claimed } = await enqueue(fixture.db, {
    repoId: fixture.repo.repoId,
    jobType: MPACK_INDEX,
    payload: { mpack_key: key },
    claimAs: { worker: `${Deno.hostname()}:1:0123abcd`, leaseMs: 86_400_000 },
  });
  const run = commandsOf(fixture, { MPACK_HOME: home });
  const { code, json } = await run("index", key, "--repo", "me/repo");
  assert.deepEqual([code, json.job_id, json.size_bytes], [0, claimed!.jobId, bytes.length]);
  await Deno.remove(home, { recursive: true });
});
