import assert from "node:assert/strict";
import postgres from "postgres";
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
      "mpackd_note_branch_move is disabled or missing: webhooks are not told of branches that move",
    );
    assert.match(found.get("schema")?.found ?? "", /9999_later/);
    assert.match(found.get("failed jobs")?.found ?? "", /^1 /);
    assert.match(found.get("jobs without a lease")?.found ?? "", /^1 /);
  } finally {
    await sql.unsafe(`drop owned by ${role}; drop role ${role}`);
    await sql.end();
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
