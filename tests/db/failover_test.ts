import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { ConfigError, DatabaseError, LeaseLostError } from "../../src/errors.ts";
import { claimJobs, completeJob, enqueue, getJob } from "../../src/jobs/queue/mod.ts";
import { sleep } from "../../src/lib/sleep.ts";
import { addRepos, openTestDatabase } from "../support/postgres/database.ts";
import { POSTGRES_15_BIN, startTestServer } from "../support/postgres/test_server.ts";
import { until } from "../support/until.ts";

const TYPE = "mpack.index";
const WORKERS = 8;
const hasPostgres15 = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);

/** One URL with both servers, this one first. */
function both(first: string, second: string): string {
  return first.replace(new URL(first).host, `${new URL(first).host},${new URL(second).host}`);
}

/** Calls until it works; a database that is away must be an error that can be retried. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  let done: { value: T };
  await until("the database answers", async () => {
    try {
      done = { value: await work() };
      return true;
    } catch (error) {
      assert(error instanceof DatabaseError && error.retryable, String(error));
      return false;
    }
  });
  return done!.value;
}

/** Claims jobs and completes them, as a worker does, until told to stop. */
async function work(db: Database, worker: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const options = { worker, jobTypes: [TYPE], leaseMs: 2_000, limit: 2, perRepo: 1_000 };
    for (const job of await insist(() => claimJobs(db, options))) {
      await insist(() => completeJob(db, job, { by: worker })).catch((error) => {
        // The job was completed, and the answer was lost; or its lease expired meanwhile.
        assert(error instanceof LeaseLostError, String(error));
      });
    }
    await sleep(5);
  }
}

Deno.test({
  name: "a failover to a standby loses no job, and the old primary is not written to",
  ignore: !hasPostgres15,
  fn: async (t) => {
    const settings = {
      full_page_writes: "on",
      // The standby has what was acknowledged.
      synchronous_commit: "on",
    };
    const binDir = POSTGRES_15_BIN;
    await using primary = await startTestServer({ binDir, settings });
    await using standby = await startTestServer({ binDir, settings, standbyOf: primary.url });
    const admin = connectDatabase(primary.url, { maxConnections: 1 });
    await admin.sql.unsafe("alter system set synchronous_standby_names = '*'");
    await admin.sql.unsafe("select pg_reload_conf()");
    await admin.close();
    const url = both(standby.url, primary.url);
    const db = connectDatabase(url, { maxConnections: WORKERS, statementTimeoutMs: 5_000 });

    await t.step("the first host is a standby, and the second one is written to", async () => {
      await migrate(db);
      await addRepos(db, "repo-1");
    });

    await t.step("a standby alone is refused by name, unless any server will do", async () => {
      const alone = connectDatabase(standby.url, { maxConnections: 1 });
      await assert.rejects(migrate(alone).finally(() => alone.close()), (error) => {
        assert(error instanceof ConfigError);
        assert.match(error.message, /127\.0\.0\.1:\d+ is a standby, and target_session_attrs is/);
        return true;
      });
      const reader = connectDatabase(`${standby.url}?target_session_attrs=any`, {
        maxConnections: 1,
      });
      const [{ repos }] = await reader.query<{ repos: number }>("count repos")`
        select count(*) as repos from musehub_repos`.finally(() => reader.close());
      assert.equal(repos, 1);
    });

    await t.step("the primary is killed under workers, and the standby promoted", async () => {
      const stop = new AbortController(), jobIds: string[] = [];
      const workers = Array.from({ length: WORKERS }, (_, i) => work(db, `w${i}`, stop.signal));
      const produce = async (jobs: number) => {
        for (let i = 0; i < jobs; i++) {
          const payload = { mpack_key: `key-${jobIds.length}` };
          const job = { repoId: "repo-1", jobType: TYPE, payload };
          jobIds.push((await insist(() => enqueue(db, job))).row.jobId);
        }
      };
      await produce(50);
      await primary.kill();
      const producing = produce(50);
      await sleep(300);
      const promoter = connectDatabase(`${standby.url}?target_session_attrs=any`, {
        maxConnections: 1,
      });
      await promoter.sql.unsafe("select pg_promote()");
      await promoter.sql.unsafe("alter system reset synchronous_standby_names");
      await promoter.sql.unsafe("select pg_reload_conf()");
      await promoter.close();
      await producing;
      for (const jobId of jobIds) {
        const status = async () => (await insist(() => getJob(db, jobId)))?.status;
        await until(`${jobId} is done`, async () => await status() === "done", { found: status });
      }
      stop.abort();
      await Promise.all(workers);
      // A producer whose answer was lost enqueued the job again and found it, or its work is done.
      const [{ jobs, keys }] = await db.query<{ jobs: number; keys: number }>("count jobs")`
        select count(*) as jobs, count(distinct payload->>'mpack_key') as keys
        from musehub_background_jobs where status = 'done'`;
      assert.equal(keys, 100);
      assert(jobs >= 100 && jobs <= 102, `${jobs} jobs`);
    });

    await t.step("the old primary comes back as a standby", async () => {
      await using rejoined = await startTestServer({ binDir, settings, standbyOf: standby.url });
      const again = connectDatabase(both(rejoined.url, standby.url), { maxConnections: 4 });
      const made = await Promise.all(
        Array.from(
          { length: 8 },
          (_, i) =>
            enqueue(again, {
              repoId: "repo-1",
              jobType: TYPE,
              payload: { mpack_key: `late-${i}` },
            }),
        ),
      ).finally(() => again.close());
      assert(made.every(({ existing }) => !existing));
    });
    await db.close();
  },
});

Deno.test("a server that stops to write is left, and used again when it writes", async () => {
  await using server = await startTestServer();
  const db = connectDatabase(server.url, { maxConnections: 2 });
  const admin = connectDatabase(`${server.url}?target_session_attrs=any`, { maxConnections: 1 });
  const setReadOnly = async (value: string) => {
    await admin.sql.unsafe(
      "begin read write; set local default_transaction_read_only = off; commit",
    );
    await admin.sql.unsafe(`alter system set default_transaction_read_only = ${value}`);
    await admin.sql.unsafe("select pg_reload_conf(), pg_sleep(0.3)");
  };
  try {
    await migrate(db);
    await addRepos(db, "repo-1");
    const job = { repoId: "repo-1", jobType: TYPE, payload: { mpack_key: "k" } };
    await setReadOnly("on");
    await assert.rejects(enqueue(db, job), (error) => {
      assert(error instanceof DatabaseError && error.retryable, String(error));
      assert.match(error.message, /is read-only \(default_transaction_read_only is on\)/);
      return true;
    });
    await setReadOnly("off");
    assert.equal((await enqueue(db, job)).existing, false);
  } finally {
    await db.close();
    await admin.close();
  }
});

Deno.test("the next host is tried when the first one cannot be reached", async () => {
  await using test = await openTestDatabase();
  const target = new URL(test.url);
  const url = test.url.replace(target.host, `127.0.0.1:1,${target.host}`);
  const db = connectDatabase(url, { maxConnections: 1 });
  const rows = await db.query<{ n: number }>("select")`select 1 as n`.finally(() => db.close());
  assert.deepEqual(rows, [{ n: 1 }]);
});
