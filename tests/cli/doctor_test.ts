import assert from "node:assert/strict";
import postgres from "postgres";
import { madeFunctions, madeTriggers } from "../../src/db/schema/made_by.ts";
import { EFFECTS } from "../../src/maintenance/doctor/check_triggers.ts";
import { addShard } from "../support/shards/catalog_with.ts";
import { runMain } from "../support/process/main.ts";
import { createTestDatabase } from "../support/postgres/postgres.ts";
import { createFixture } from "../support/process/fixture.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";
import { startS3Double } from "../support/store/s3_double.ts";

interface Checked {
  readonly name: string;
  readonly status: string;
  readonly found: string;
  readonly next?: string;
}

/** Runs `doctor --json`. Returns what it found that is not ok, by name, and its exit code. */
async function doctor(env: Record<string, string>, ...flags: string[]) {
  const { code, stdout, stderr } = await runMain(["doctor", "--json", ...flags], env);
  const { checks, warnings, failures } = JSON.parse(stdout || assert.fail(stderr)) as {
    readonly checks: Checked[];
    readonly warnings: number;
    readonly failures: number;
  };
  const bad = checks.filter(({ status }) => status !== "ok");
  assert.equal(bad.length, warnings + failures);
  assert.equal(code, failures > 0 ? 2 : 0);
  return { code, names: checks.map(({ name }) => name), bad };
}

Deno.test("doctor finds nothing wrong with a sound database and folder, and leaves nothing", async () => {
  await using fixture = await createFixture();
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const { bad, names } = await doctor(env);
  // The test server saves its time at the disk.
  assert.deepEqual(bad.filter(({ name }) => !/disk|settings/.test(name)), []);
  assert.ok(
    names.includes("last audit") && names.includes("store condition") &&
      names.includes("store checksum"),
  );
  assert.deepEqual(await Array.fromAsync(fixture.store.list("")), []);
  const { names: looked } = await doctor(env, "--no-writes");
  assert.ok(!looked.includes("store write") && looked.includes("store owner"));
});

Deno.test("doctor names each thing that is away, and goes on with the others", async () => {
  await using fixture = await createFixture();
  const gone = {
    DATABASE_URL: "postgres://me@127.0.0.1:1/none",
    MPACK_STORE: "s3://bucket?endpoint=http://127.0.0.1:1",
    AWS_ACCESS_KEY_ID: "a",
    AWS_SECRET_ACCESS_KEY: "s",
    MPACK_STORE_RETRIES: "0",
  };
  const { bad } = await doctor(gone);
  assert.deepEqual(
    bad.filter(({ status }) => status === "failure").map(({ name }) => name),
    ["database", "store write"],
  );
  assert.deepEqual(bad.map(({ next }) => /^compare (\w+)/.exec(next ?? "")?.[1]), [
    "DATABASE_URL",
    "MPACK_STORE",
  ]);
  const { bad: half } = await doctor({ ...gone, DATABASE_URL: fixture.databaseUrl });
  assert.match(half.find(({ name }) => name === "store owner")?.found ?? "", /^Cannot/);
});

Deno.test("doctor sees old tables, missing rights, failed jobs and a foreign store", async () => {
  await using database = await createTestDatabase("doctor");
  await using fixture = await createFixture();
  const store = { MPACK_STORE: `file://${fixture.folder}` };
  const { bad: old } = await doctor({ DATABASE_URL: database.url, ...store });
  const schema = old.find(({ name }) => name === "schema") ?? assert.fail();
  assert.match(schema.next ?? "", /mpackd migrate/);

  const role = `doctor_${crypto.randomUUID().slice(0, 8)}`;
  const sql = postgres(fixture.databaseUrl, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(`create role ${role} login password 'secret'`);
    await sql.unsafe(`grant select on all tables in schema public to ${role}`);
    await sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status,
      finished_at) values ('a', 'r', 'mpack.index', '{}', 'failed', now()),
      ('b', 'r', 'mpack.index', '{}', 'running', null)`;
    await sql`insert into mpackd_migrations (name) values ('9999_later')`;
    await sql`alter table musehub_branches disable trigger mpackd_note_branch_move`;
    await sql`insert into mpackd_webhooks (webhook_id, repo_id, url, host, events, secret, disabled_at)
      values ('w', 'r', 'https://a.test/', 'a.test', '{}', '', now())`;
    const { bad: own } = await doctor({ DATABASE_URL: fixture.databaseUrl, ...store });
    const webhooks = own.find(({ name }) => name === "webhooks");
    assert.equal(webhooks?.found, "1 webhook: 1 disabled, 0 failing");
    const url = new URL(fixture.databaseUrl);
    [url.username, url.password] = [role, "secret"];
    await Deno.writeTextFile(
      `${fixture.folder}/mpackd-store.json`,
      JSON.stringify({ format: 1, database_id: "another", counter: 1 }),
    );
    const { bad, code } = await doctor({ DATABASE_URL: url.href, ...store });
    const found = new Map(bad.map((check) => [check.name, check]));
    assert.equal(code, 2);
    assert.equal(found.get("store owner")?.status, "failure");
    assert.equal(found.get("rights")?.status, "warning");
    assert.equal(
      found.get("triggers")?.found,
      "mpackd_note_branch_move is disabled: webhooks are not told of branches that move",
    );
    assert.match(found.get("schema")?.found ?? "", /9999_later/);
    assert.match(found.get("failed jobs")?.found ?? "", /^1 /);
    assert.match(found.get("jobs without a lease")?.found ?? "", /^1 /);
  } finally {
    await sql.unsafe(`drop owned by ${role}; drop role ${role}`);
    await sql.end();
  }
});

Deno.test("doctor knows each trigger and function of the schema, and how to enable them", async (t) => {
  await using fixture = await createFixture();
  const { db, databaseUrl, folder } = fixture;
  const env = { DATABASE_URL: databaseUrl, MPACK_STORE: `file://${folder}` };
  const { sql } = db, names = (rows: readonly { name: string }[]) => rows.map(({ name }) => name);
  const triggers = async () =>
    names(
      await sql`select tgname::text as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where not tgisinternal and c.relnamespace = current_schema()::regnamespace order by 1`,
    );
  const functions = async () =>
    names(
      await sql`select distinct proname::text as name from pg_proc
      where pronamespace = current_schema()::regnamespace order by 1`,
    );
  const inSchema = { triggers: await triggers(), functions: await functions() };
  await t.step("the lists are those of a database that was migrated", () => {
    assert.deepEqual(madeTriggers().map(({ name }) => name).sort(), inSchema.triggers);
    assert.deepEqual(madeFunctions(), inSchema.functions);
    assert.deepEqual(Object.keys(EFFECTS).sort(), inSchema.triggers, "what is missed without each");
  });
  await t.step("a trigger that is disabled, another that is gone, and a function", async () => {
    await sql`alter table mpackd_shards disable trigger mpackd_note_shards`;
    await sql`drop trigger mpackd_wake on musehub_background_jobs`;
    const [{ recount }] = await sql`
      select pg_get_functiondef('mpackd_recount_1'::regproc) as recount`;
    await sql`drop function mpackd_recount_1`;
    const { bad } = await doctor(env, "--no-writes");
    const found = new Map(bad.map((check) => [check.name, check]));
    assert.equal(
      found.get("triggers")?.found,
      "mpackd_note_shards is disabled: workers learn seconds later that shards have changed; " +
        "mpackd_wake is missing: new jobs wait until a worker polls",
    );
    assert.deepEqual(found.get("functions")?.found, "mpackd_recount_1 missing");
    assert.match(
      found.get("functions")?.next ?? "",
      /^copy each from a database that "mpackd migrate" has made/,
    );
    for (const step of (found.get("triggers")?.next ?? "").split("; ")) await sql.unsafe(step);
    await sql.unsafe(recount);
    const { bad: after } = await doctor(env, "--no-writes");
    assert.deepEqual(after.filter(({ name }) => /triggers|functions|schema/.test(name)), []);
    assert.deepEqual({ triggers: await triggers(), functions: await functions() }, inSchema);
  });
  await t.step("those of a shard", async () => {
    const shard = await addShard({ db, url: databaseUrl }, "s1");
    await shard.sql`alter table musehub_background_jobs disable trigger mpackd_wake`;
    await shard.close();
    const { bad } = await doctor(env, "--no-writes");
    const found = bad.find(({ name }) => name === "shard s1 triggers");
    assert.match(found?.found ?? "", /^mpackd_wake is disabled: new jobs wait/);
  });
});

Deno.test("doctor names a bucket that keeps what is deleted", async (t) => {
  await using fixture = await createFixture();
  await using double = startS3Double();
  let answer = () => new Response(null, { status: 404 });
  await using engine = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname, search, searchParams } = new URL(request.url);
    if (searchParams.has("object-lock")) return answer();
    const { method, headers, body } = request;
    return fetch(double.endpoint + pathname + search, { method, headers, body });
  });
  const env = {
    DATABASE_URL: fixture.databaseUrl,
    MPACK_STORE: `s3://bucket?endpoint=http://127.0.0.1:${engine.addr.port}`,
    AWS_ACCESS_KEY_ID: "a",
    AWS_SECRET_ACCESS_KEY: "s",
  };
  const lock = (rule: string) =>
    `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>${rule}` +
    "</ObjectLockConfiguration>";
  const rule = "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days>" +
    "</DefaultRetention></Rule>";
  const error = (code: string) => `<Error><Code>${code}</Code></Error>`;
  const cases: [why: string, status: number, body: string, found: RegExp | undefined][] = [
    ["locked", 200, lock(rule), /keeps each object for 30 days \(COMPLIANCE\): what gc deletes/],
    ["locked without a period", 200, lock(""), /is enabled, without a default retention: what/],
    ["no lock", 404, error("ObjectLockConfigurationNotFoundError"), undefined],
    ["an engine without locks", 501, error("NotImplemented"), undefined],
    [
      "one that does not know the query",
      200,
      `<ListBucketResult>${" ".repeat(1 << 17)}`,
      undefined,
    ],
    ["a key that may not ask", 403, error("AccessDenied"), undefined],
  ];
  for (const [why, status, body, expected] of cases) {
    await t.step(why, async () => {
      answer = () => new Response(body, { status });
      const { bad, names } = await doctor(env, "--no-writes");
      assert.ok(names.includes("store lock"));
      const found = bad.find(({ name }) => name === "store lock");
      if (expected === undefined) return assert.equal(found, undefined);
      assert.match(found?.found ?? "", expected);
      assert.match(found?.next ?? "", /without Object Lock, or let a lifecycle rule/);
    });
  }
});

Deno.test("doctor names what an S3 engine lacks", async () => {
  await using fixture = await createFixture();
  await using double = startS3Double();
  // An engine that lists nothing, and takes no upload by a presigned URL.
  await using engine = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname, search, searchParams } = new URL(request.url);
    const { method, headers, body } = request;
    if (searchParams.has("list-type")) return new Response("<ListBucketResult/>");
    if (searchParams.has("X-Amz-Signature")) return new Response(null, { status: 403 });
    return fetch(double.endpoint + pathname + search, { method, headers, body });
  });
  const { bad } = await doctor({
    DATABASE_URL: fixture.databaseUrl,
    MPACK_STORE: `s3://bucket?endpoint=http://127.0.0.1:${engine.addr.port}`,
    AWS_ACCESS_KEY_ID: "a",
    AWS_SECRET_ACCESS_KEY: "s",
  });
  const failures = bad.filter(({ status }) => status === "failure");
  assert.deepEqual(failures.map(({ name }) => name), ["store list", "store upload URL"]);
  assert.match(failures[1].found, /answered with 403$/);
  assert.deepEqual([...double.objects.keys()], [], "its blobs are gone");
});

Deno.test({
  name: "doctor finds nothing wrong with Swift",
  ignore: s3Engine === undefined,
  fn: async () => {
    await using bucket = await makeBucket();
    await using fixture = await createFixture({ store: bucket.store });
    const { options } = bucket;
    const place = new URLSearchParams({ endpoint: options.endpoint!, region: options.region });
    const { bad, names } = await doctor({
      DATABASE_URL: fixture.databaseUrl,
      MPACK_STORE: `s3://${options.bucket}?${place}`,
      AWS_ACCESS_KEY_ID: options.accessKeyId,
      AWS_SECRET_ACCESS_KEY: options.secretAccessKey,
    });
    assert.deepEqual(bad.filter(({ name }) => name.startsWith("store")), []);
    assert.ok(names.includes("store upload URL"));
  },
});
