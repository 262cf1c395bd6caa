import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { buildMpack, concat, mpackKey } from "../support/mpack/mpacks.ts";
import { runMain, startMain } from "../support/process/main.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { until } from "../support/until.ts";

const SAMPLE = new URL("../corpus/samples/prefixed.mpack", import.meta.url).pathname;

function envOf(fixture: TestFixture): Record<string, string> {
  return { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
}

Deno.test("mpackd index --json prints one document and nothing else on stdout", async (t) => {
  await using fixture = await createFixture();
  const env = envOf(fixture);
  await t.step("the result", async () => {
    const { code, stdout } = await runMain(["index", SAMPLE, "--repo", "me/repo", "--json"], env);
    assert.equal(code, 0);
    const result = JSON.parse(stdout);
    assert.equal(result.mpack_key, mpackKey(await Deno.readFile(SAMPLE)));
    assert.equal(result.objects_written, result.objects_total);
    assert.equal(Object.keys(result)[0], "job_id");
  });
  await t.step("by its key, now that the store has it", async () => {
    const key = mpackKey(await Deno.readFile(SAMPLE));
    const { code, stdout } = await runMain(["index", key, "--repo", "me/repo", "--json"], env);
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).objects_written, 0);
  });
  const failures: [string, string[], number, string][] = [
    ["a pack cut short", ["CUT"], 3, "truncated"],
    [
      "another key than expected",
      [SAMPLE, "--expect", `sha256:${"0".repeat(64)}`],
      3,
      "digest-mismatch",
    ],
    ["a wrong count", [SAMPLE, "--declared-objects", "7"], 3, "declared-count-mismatch"],
    ["a key that is not in the store", [`sha256:${"0".repeat(64)}`], 4, "blob-missing"],
    ["no such file", ["nowhere.mpack"], 2, "config"],
    ["no such repo", [SAMPLE, "--repo", "me/none"], 2, "repo-not-found"],
    ["an unknown option", [SAMPLE, "--frobnicate"], 2, "config"],
  ];
  const cut = `${fixture.folder}/cut.mpack`;
  await Deno.writeFile(cut, (await Deno.readFile(SAMPLE)).subarray(0, 3000));
  for (const [name, args, wanted, errorCode] of failures) {
    await t.step(name, async () => {
      const given = args.map((arg) => arg === "CUT" ? cut : arg);
      const repo = args.includes("--repo") ? [] : ["--repo", "me/repo"];
      const { code, stdout, stderr } = await runMain(["index", ...given, ...repo, "--json"], env);
      assert.equal(code, wanted, stderr);
      const { error } = JSON.parse(stdout);
      assert.equal(error.code, errorCode);
      assert.equal(error.retryable, wanted === 4);
      if (errorCode === "truncated") assert.equal(error.offset_bytes, 3000);
    });
  }
});

Deno.test("mpackd index fails with 4 when a service is not there, and names it", async (t) => {
  await using fixture = await createFixture();
  await t.step("the database", async () => {
    const env = { ...envOf(fixture), DATABASE_URL: "postgres://u:secret@127.0.0.1:9/db" };
    const { code, stdout } = await runMain(["index", SAMPLE, "--repo", "me/repo", "--json"], env);
    assert.equal(code, 4);
    assert.equal(JSON.parse(stdout).error.code, "database-unavailable");
    assert.doesNotMatch(stdout, /secret/);
  });
  await t.step("the store", async () => {
    const env = {
      ...envOf(fixture),
      MPACK_STORE: "s3://bucket?endpoint=http://127.0.0.1:9&region=us-east-1",
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
      MPACK_STORE_RETRIES: "0",
    };
    const { code, stdout } = await runMain(["index", SAMPLE, "--repo", "me/repo", "--json"], env);
    assert.equal(code, 4);
    assert.equal(JSON.parse(stdout).error.code, "store-unavailable");
    assert.doesNotMatch(stdout, /secret/);
  });
  await t.step("a setting that is none is 2", async () => {
    const env = { ...envOf(fixture), MPACK_BATCH_ROWS: "many" };
    const { code, stderr } = await runMain(["index", SAMPLE, "--repo", "me/repo"], env);
    assert.equal(code, 2);
    assert.match(stderr, /MPACK_BATCH_ROWS/);
  });
});

async function interrupt(fixture: TestFixture, source: string) {
  const env = { ...envOf(fixture), MPACK_BATCH_ROWS: "100" };
  const child = startMain(["index", source, "--repo", "me/repo"], env);
  const staged = async () => {
    const [{ rows }] = await fixture.db.sql`select count(*)::int as rows from mpack_staged_objects`;
    return rows;
  };
  await until("20 rows are staged", async () => await staged() >= 20, {
    everyMs: 5,
    found: staged,
  });
  child.kill("SIGINT");
  const { code } = await child.output();
  assert.equal(code, 130);
  const [{ refs }] = await fixture.db.sql`select count(*)::int as refs from musehub_object_refs`;
  assert.equal(refs, 0);
  const [job] = await fixture.db.sql`
    select status, attempt from musehub_background_jobs order by created_at desc limit 1`;
  return { ...job };
}

Deno.test("mpackd index interrupted ends with 130 and shows nothing", async (t) => {
  await using fixture = await createFixture();
  const shape = { objects: 40_000, size: parseSize("3000"), seed: 3 };
  const bytes = concat(await Array.fromAsync(makeMpack(shape), (chunk) => chunk.slice()));
  await t.step("a file leaves nothing in the store, and a job that nobody can retry", async () => {
    const path = `${fixture.folder}/big.mpack`;
    await Deno.writeFile(path, bytes);
    const job = await interrupt(fixture, path);
    assert.deepEqual(job, { status: "cancelled", attempt: 1 });
    const blobs = await Array.fromAsync(fixture.store.list("mpacks/"), ({ key }) => key);
    assert.deepEqual(blobs, []);
    assert.equal(await fixture.store.sweep!({ before: new Date(Date.now() + 60_000) }), 0);
  });
  await t.step("a key gives its job back", async () => {
    await fixture.db.sql`delete from mpack_staged_objects`;
    const job = await interrupt(fixture, await fixture.put(bytes));
    assert.deepEqual(job, { status: "pending", attempt: 0 });
  });
});

Deno.test("mpackd index puts a valid file where the store had a damaged blob of its key", async () => {
  await using fixture = await createFixture();
  const bytes = buildMpack({ objects: [], note: "valid" });
  const key = await fixture.put(bytes);
  const path = `${fixture.folder}/valid.mpack`;
  await Deno.writeFile(path, bytes);
  const damaged = bytes.slice();
  damaged[damaged.length - 1] ^= 1;
  await Deno.writeFile(fixture.blobPath(key), damaged);
  const { code } = await runMain(["index", path, "--repo", "me/repo"], envOf(fixture));
  assert.equal(code, 0);
  assert.deepEqual(await Deno.readFile(fixture.blobPath(key)), bytes);
});

Deno.test("mpackd --help and mpackd config answer at each level, without a database", async () => {
  for (const args of [["--help"], ["index", "--help"], ["migrate", "--help"], ["config"]]) {
    const { code, stdout } = await runMain(args);
    assert.equal(code, 0);
    assert.ok(stdout.length > 200, args.join(" "));
  }
  const { stdout } = await runMain(["config", "--json"], { AWS_SECRET_ACCESS_KEY: "hush" });
  assert.ok(JSON.parse(stdout).length > 20);
  assert.doesNotMatch(stdout, /hush/);
});

Deno.test("mpackd index needs no service of ours: the embedded database and a folder", async () => {
  const cwd = await Deno.makeTempDir({ prefix: "mpackd-cli-" });
  try {
    // Two at once: the second joins the server that the first has started.
    const both = await Promise.all(
      ["me/a", "me/b"].map((repo) =>
        runMain(["index", SAMPLE, "--repo", repo, "--json"], {}, { cwd })
      ),
    );
    for (const { code, stderr } of both) assert.equal(code, 0, stderr);
    const results = both.map(({ stdout }) => JSON.parse(stdout));
    assert.equal(results[0].object_refs_written, results[0].objects_total);
    assert.equal(results[1].object_refs_written, results[1].objects_total);
    await assert.rejects(Deno.stat(`${cwd}/.mpackd/pg/data/postmaster.pid`), Deno.errors.NotFound);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
});

Deno.test("a misspelt setting is refused, and the one that was meant is named", async () => {
  const { code, stderr } = await runMain(["config"], { MPACK_CONCURENCY: "3" });
  assert.equal(code, 2);
  assert.match(
    stderr,
    /MPACK_CONCURENCY: there is no such setting; did you mean MPACK_CONCURRENCY\?/,
  );
});
