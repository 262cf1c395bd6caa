import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { migrate, pendingMigrations } from "../../src/db/schema/migrate.ts";
import { readStats } from "../../src/db/stats.ts";
import { ConfigError } from "../../src/errors.ts";
import {
  claimJobs,
  completeJob,
  enqueue,
  failJob,
  listJobs,
  renewLease,
} from "../../src/jobs/queue/mod.ts";
import { addRepos, openTestDatabase } from "../support/postgres/database.ts";
import { startTestServer } from "../support/postgres/test_server.ts";

const TYPE = "mpack.index";
const AT = "2020-02-03T04:05:06.789Z";

/** What statements rely on: the queue, times, numbers, null, and more time than a DBA's timeout. */
async function useDatabase(db: Database): Promise<unknown> {
  assert.deepEqual(await pendingMigrations(db), []);
  const claim = { worker: "w", jobTypes: [TYPE], leaseMs: 60_000, limit: 10, perRepo: 10 };
  for (let i = 0; i < 2; i++) {
    await enqueue(db, { repoId: "repo-1", jobType: TYPE, payload: { mpack_key: `k${i}` } });
  }
  const [first, second] = await claimJobs(db, claim);
  await renewLease(db, first, { leaseMs: 60_000, progress: { rows: 1 } });
  await completeJob(db, first, { text: "\u00e9\u{1f600}" });
  const error = { code: "truncated", message: "cut", retryable: false };
  await failJob(db, second, { error, retry: false, baseDelayMs: 1, maxDelayMs: 1 });
  const jobs = await listJobs(db);
  assert.deepEqual(jobs.map(({ status }) => status).sort(), ["done", "failed"]);
  for (const { createdAt } of jobs) assert(Math.abs(Date.now() - createdAt.getTime()) < 60_000);
  const [row] = await db.query<Record<string, unknown>>("read values")`
    select ${AT}::timestamptz as at, 0.1::float8 + 0.2::float8 as sum, (null = null) is null as unknown,
      array['a', null]::text[] as list, '\\d' as text, interval '1 day 2 hours' as length,
      pg_sleep(0.1)::text as slept`;
  await db.sql`delete from musehub_background_jobs`;
  const { repos } = await readStats(db);
  return { ...row, repos };
}

/** Values that a role may give to its own settings, one per setting, each unlike the one in force. */
const HOSTILE = `
  select name, case
      when vartype = 'bool' then case setting when 'on' then 'off' else 'on' end
      when unit = 'ms' then '50'
      when vartype = 'enum' then
        (select v from unnest(enumvals) v where v <> setting and v <> 'regress' limit 1)
      when vartype in ('integer', 'real') then min_val
      when name = 'DateStyle' then 'German, DMY'
      when name = 'TimeZone' then 'Asia/Tokyo'
      when name = 'client_encoding' then 'LATIN1'
      when name = 'timezone_abbreviations' then 'India'
      when name = 'plpgsql.extra_errors' then 'all'
      when name like 'lc\\_%' then 'C.UTF-8'
    end as value
  from pg_settings where context = 'user'
    -- Who one is, and what is transferred by them, is the administrator's choice.
    and name not in ('role', 'session_authorization', 'search_path', 'is_superuser')
    and name not like 'transaction\_%' or name = 'transaction_timeout'
  order by name`;

Deno.test("what a role sets for itself changes nothing, or is refused by name", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test;
  await addRepos(db, "repo-1");
  // Loads PL/pgSQL, whose settings are unknown before.
  await db.sql.unsafe("do $$ begin end $$");
  const settings = await db.sql.unsafe<{ name: string; value: string | null }[]>(HOSTILE);
  const role = `tester_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(`create role ${role} login password 'pw'`);
  await db.sql.unsafe(`grant all on all tables in schema public to ${role}`);
  await db.sql.unsafe(`grant all on all sequences in schema public to ${role}`);
  const url = new URL(test.url);
  url.username = role;
  url.password = "pw";
  const run = async () => {
    const pool = connectDatabase(url.href, { maxConnections: 1, statementTimeoutMs: 5_000 });
    try {
      return await useDatabase(pool);
    } finally {
      await pool.close();
    }
  };
  try {
    const expected = await run();
    const refused: string[] = [];
    let tried = 0;
    for (const { name, value } of settings) {
      if (value === null) continue;
      tried++;
      await db.sql.unsafe(`alter role ${role} set ${name} = '${value}'`);
      await t.step(`${name} = ${value}`, async () => {
        try {
          assert.deepEqual(await run(), expected);
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          assert(error.message.includes(name), error.message);
          refused.push(name);
        }
      });
      await db.sql.unsafe(`alter role ${role} reset ${name}`);
    }
    assert(tried > 100, `${tried} settings`);
    // PostgreSQL 17 and later have the second.
    const known = settings.map(({ name }) => name);
    const wanted = ["default_transaction_read_only", "transaction_timeout"];
    assert.deepEqual(refused, wanted.filter((name) => known.includes(name)));
  } finally {
    await db.sql.unsafe(`drop owned by ${role}`);
    await db.sql.unsafe(`drop role ${role}`);
  }
});

Deno.test("the URL cannot set what mpackd sets", () => {
  for (const word of ["statement_timeout=1", "datestyle=German", "TIMEZONE=Asia/Tokyo"]) {
    assert.throws(
      () => connectDatabase(`postgres://u@h/d?${word}`, { maxConnections: 1 }),
      (error) => error instanceof ConfigError && error.message.includes(word.split("=")[0]),
    );
  }
});

Deno.test("behind a pooler, a setting that was not passed on is refused by name", async () => {
  await using server = await startTestServer({ settings: { statement_timeout: "7000" } });
  const direct = connectDatabase(server.url, { maxConnections: 1 });
  const pooled = connectDatabase(`${server.url}?prepare=false`, { maxConnections: 1 });
  try {
    await migrate(direct);
    await assert.rejects(pendingMigrations(pooled), (error) => {
      assert(error instanceof ConfigError);
      assert.match(error.message, /statement_timeout is 7s/);
      assert.match(error.message, /alter role current_user set statement_timeout = '0'/);
      return true;
    });
    await direct.sql.unsafe("alter role current_user set statement_timeout = '0'");
    await pooled.close();
    const again = connectDatabase(`${server.url}?prepare=false`, { maxConnections: 1 });
    assert.deepEqual(await pendingMigrations(again).finally(() => again.close()), []);
  } finally {
    await direct.close();
    await pooled.close();
  }
});
