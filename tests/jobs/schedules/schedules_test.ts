import assert from "node:assert/strict";
import { fireSchedules, runNow } from "../../../src/jobs/schedules/fire.ts";
import { nextTime } from "../../../src/jobs/schedules/cron.ts";
import {
  listSchedules,
  pauseSchedule,
  putSchedule,
  removeSchedule,
} from "../../../src/jobs/schedules/schedules.ts";
import { mpackdHandlers } from "../../../src/jobs/handlers.ts";
import { getJob, listJobs } from "../../../src/jobs/queue/mod.ts";
import { pause, resume } from "../../../src/jobs/schedules/pauses.ts";
import { Worker, type WorkerOptions } from "../../../src/jobs/worker/worker.ts";
import { ConfigError } from "../../../src/errors.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { sampleBytes } from "../../support/store/blobs.ts";
import { buildMpack, object } from "../../support/mpack/mpacks.ts";
import { runMain } from "../../support/process/main.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";
import { until } from "../../support/until.ts";

/** Makes a schedule due, so many seconds ago. */
async function makeDue({ db }: TestFixture, name: string, seconds = 1): Promise<void> {
  await db.sql`update mpackd_schedules
    set next_at = date_trunc('milliseconds', now()) - ${seconds}::float8 * interval '1 second'
    where name = ${name}`;
}

/** Runs `work` while this process's clock is off. */
async function withSkew(skewMs: number, work: () => Promise<void>): Promise<void> {
  const RealDate = Date;
  globalThis.Date = new Proxy(RealDate, {
    get: (target, name) =>
      name === "now" ? () => RealDate.now() + skewMs : Reflect.get(target, name),
    construct: (target, given, newTarget) =>
      Reflect.construct(target, given.length === 0 ? [RealDate.now() + skewMs] : given, newTarget),
  });
  try {
    await work();
  } finally {
    globalThis.Date = RealDate;
  }
}

async function drain(fixture: TestFixture, options: Partial<WorkerOptions> = {}): Promise<void> {
  const { db, store } = fixture, config = fixture.config();
  await new Worker({
    db,
    handlers: mpackdHandlers({ db, store, config }),
    worker: "w",
    leaseMs: 30_000,
    concurrency: 2,
    perRepo: 2,
    pollMs: 50,
    drainMs: 0,
    signal: new AbortController().signal,
    untilEmpty: true,
    ...options,
  }).run();
}

Deno.test("nextTime() reads five fields in UTC, and refuses what never comes", () => {
  const after = new Date("2026-11-27T12:00:30Z");
  const cases: [cron: string, next: string][] = [
    ["0 3 * * *", "2026-11-28T03:00:00.000Z"],
    ["*/15 * * * *", "2026-11-27T12:15:00.000Z"],
    ["0 0 1 1 *", "2027-01-01T00:00:00.000Z"],
    ["30 2 * * 0", "2026-11-29T02:30:00.000Z"],
    ["@daily", "2026-11-28T00:00:00.000Z"],
  ];
  for (const [cron, next] of cases) assert.equal(nextTime(cron, after).toISOString(), next, cron);
  for (const cron of ["", "x", "* * * *", "61 * * * *", "0 0 31 2 *", "* * * * * *"]) {
    assert.throws(() => nextTime(cron, after), ConfigError, cron);
  }
  for (
    const [cron, why] of [
      ["0 3 * *", /: it has 4 fields, not five: minute, hour, day, month, weekday$/],
      ["* * * * * *", /: it has 6 fields, not five/],
      ["61 3 * * *", /: Invalid value for minute: 61$/],
    ] as const
  ) {
    assert.throws(() => nextTime(cron, after), { message: why });
  }
});

Deno.test("each time of a schedule becomes one job, however many workers look", async () => {
  await using fixture = await createFixture();
  const { db } = fixture;
  await putSchedule(db, { name: "nightly", cron: "0 3 * * *", task: "purge", options: {} });
  assert.deepEqual(await fireSchedules(db), [], "it is not due yet");
  // Missed for a week: caught up once.
  await makeDue(fixture, "nightly", 7 * 24 * 3600);
  const made = await Promise.all(Array.from({ length: 8 }, () => fireSchedules(db)));
  assert.equal(made.flat().length, 1);
  const [schedule] = await listSchedules(db);
  assert.deepEqual([schedule.lastJobId, schedule.lastStatus], [made.flat()[0], "pending"]);
  assert.ok(schedule.nextAt > new Date());
  assert.deepEqual(await fireSchedules(db), []);
  // While its job is open, the next time makes none.
  await makeDue(fixture, "nightly");
  assert.deepEqual(await fireSchedules(db), []);
  await drain(fixture);
  assert.deepEqual((await getJob(db, schedule.lastJobId!))!.result, { purged: 0 });
  await makeDue(fixture, "nightly");
  assert.equal((await fireSchedules(db)).length, 1);
});

Deno.test("a worker whose clock is wrong fires each time once, and misses none", async () => {
  await using fixture = await createFixture();
  const { db } = fixture, hourMs = 60 * 60_000;
  for (const skewMs of [-2 * hourMs, 2 * hourMs]) {
    await withSkew(skewMs, async () => {
      await putSchedule(db, { name: "s", cron: "0 * * * *", task: "purge", options: {} });
      await makeDue(fixture, "s", 24 * 3600);
      assert.equal((await fireSchedules(db)).length, 1);
      await drain(fixture);
      assert.deepEqual(await fireSchedules(db), [], `a clock off by ${skewMs} ms`);
    });
    const isNext = (await db.sql`select next_at > now() and next_at <= now() + interval '1 hour'
      as "isNext" from mpackd_schedules`)[0].isNext;
    assert.ok(isNext, `a clock off by ${skewMs} ms`);
  }
});

Deno.test("a schedule knows its job although its worker died when it had made it", async () => {
  await using fixture = await createFixture();
  const { db } = fixture;
  await putSchedule(db, { name: "s", cron: "@daily", task: "purge", options: {} });
  await makeDue(fixture, "s", 10);
  const intercept: typeof db.intercept = async (query, action) => {
    const rows = await query;
    if (action === "fire a schedule") throw Object.assign(new Error("cut"), { code: "ECONNRESET" });
    return rows;
  };
  await assert.rejects(fireSchedules({ ...db, intercept }));
  const [job, ...others] = await listJobs(db);
  assert.deepEqual([(await listSchedules(db))[0].lastJobId, others], [job.jobId, []]);
  await makeDue(fixture, "s");
  assert.deepEqual(await fireSchedules(db), [], "its job is open");
});

Deno.test("gc, audit and repack run as jobs, and their results are the job's", async () => {
  await using fixture = await createFixture();
  const { db } = fixture;
  await putSchedule(db, { name: "g", cron: "@daily", task: "gc", options: { grace_ms: 60_000 } });
  await putSchedule(db, {
    name: "a",
    cron: "@daily",
    task: "audit",
    options: { sample_percent: 5 },
  });
  await putSchedule(db, { name: "r", cron: "@daily", task: "repack", options: { min_packs: 2 } });
  for (const seed of [1, 2, 3]) {
    const bytes = buildMpack({ objects: [object({ content: sampleBytes(100, seed) })] });
    await indexMpack(fixture.options(await fixture.put(bytes.slice())));
  }
  const ids = [await runNow(db, "g"), await runNow(db, "a"), await runNow(db, "r")];
  assert.equal(await runNow(db, "none"), undefined);
  await drain(fixture);
  const [gc, audit, repack] = await Promise.all(ids.map((id) => getJob(db, id!)));
  assert.deepEqual([gc!.status, audit!.status, repack!.status], ["done", "done", "done"]);
  const { repos, packs_before, packs_after } = repack!.result as Record<string, number>;
  assert.deepEqual([repos, packs_before, packs_after], [1, 3, 1]);
  assert.equal((gc!.result as { dry_run: boolean }).dry_run, false);
  assert.equal((audit!.result as { is_valid: boolean }).is_valid, true);
});

Deno.test("a paused schedule does not fire, and catches nothing up", async () => {
  await using fixture = await createFixture();
  const { db } = fixture;
  await putSchedule(db, { name: "s", cron: "@hourly", task: "purge", options: {} });
  assert.equal(await pauseSchedule(db, "s", true), true);
  await makeDue(fixture, "s");
  assert.deepEqual(await fireSchedules(db), []);
  assert.equal(await pauseSchedule(db, "s", false), true);
  assert.deepEqual(await fireSchedules(db), []);
  assert.equal(await pauseSchedule(db, "none", true), false);
  assert.deepEqual([await removeSchedule(db, "s"), await removeSchedule(db, "s")], [true, false]);
});

Deno.test("paused jobs wait: all of them, a type, or a repo", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture;
  await putSchedule(db, { name: "p", cron: "@daily", task: "purge", options: {} });
  const add = async () => (await runNow(db, "p"))!;
  const pending = async () => (await listJobs(db, { status: "pending" })).length;
  for (
    const what of [
      { kind: "all" } as const,
      { kind: "type", value: "mpackd.purge" } as const,
      { kind: "repo", value: "mpackd:maintenance" } as const,
    ]
  ) {
    await pause(db, what);
    await pause(db, what);
    await add();
    // It ends, because nothing that may run is due.
    await drain(fixture);
    assert.equal(await pending(), 1, what.kind);
    assert.deepEqual([await resume(db, what), await resume(db, what)], [true, false]);
    await drain(fixture);
    assert.equal(await pending(), 0, what.kind);
  }
  await pause(db, { kind: "repo", value: repo.repoId });
  await add();
  await drain(fixture);
  assert.equal(await pending(), 0, "another repo's pause stops nothing");
});

Deno.test("a worker picks up what is resumed, without being asked again", async () => {
  await using fixture = await createFixture();
  const { db } = fixture;
  await pause(db, { kind: "all" });
  await putSchedule(db, { name: "p", cron: "@daily", task: "purge", options: {} });
  const id = (await runNow(db, "p"))!, stop = new AbortController();
  const running = drain(fixture, { untilEmpty: false, signal: stop.signal });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal((await getJob(db, id))!.status, "pending");
  await resume(db, { kind: "all" });
  await until("the resumed job is done", async () => (await getJob(db, id))!.status === "done");
  stop.abort();
  await running;
});

Deno.test("mpackd schedule and jobs pause say what they did, and refuse what cannot be", async () => {
  await using fixture = await createFixture();
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runMain(args, { DATABASE_URL: fixture.databaseUrl });
    return { code, stdout, stderr };
  };
  const add = ["schedule", "add", "sample", "--task", "audit", "--cron", "0 4 * * 0"];
  assert.match((await run(...add, "--sample", "5%")).stdout, /^Added: sample runs audit next at /);
  const { stdout } = await run("schedule", "list", "--json");
  const [{ name, options, last_at }] = JSON.parse(stdout).schedules;
  assert.deepEqual([name, options, last_at], ["sample", { sample_percent: 5 }, null]);
  for (
    const wrong of [
      [...add.slice(0, 6), "never"],
      [...add, "--sample", "0%"],
      [...add, "--grace", "1d"],
      ["schedule", "add", "x", "--task", "none", "--cron", "@daily"],
      ["schedule", "run", "none"],
      ["jobs", "pause", "--type", "a", "--repo", "me/repo"],
    ]
  ) assert.equal((await run(...wrong)).code, 2, wrong.join(" "));
  assert.match((await run("jobs", "pause", "--repo", "me/repo")).stdout, /^Paused: me\/repo/);
  assert.match((await run("jobs", "list")).stdout, /Paused: jobs of me\/repo/);
  assert.match((await run("jobs", "resume", "--repo", "me/repo")).stdout, /^Resumed: me\/repo/);
});
