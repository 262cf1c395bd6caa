import assert from "node:assert/strict";
import { runMain } from "../../support/process/main.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { createFixture } from "../../support/process/fixture.ts";

Deno.test("several mpacks are taken one after another, and one that fails does not stop the others", async (t) => {
  await using fixture = await createFixture();
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runMain([...args, "--json"], env);
    const lines = stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    return { code, lines, stderr };
  };
  const packs = ["a", "b"].map((text) =>
    buildMpack({ objects: [object({ content: new TextEncoder().encode(text) })] })
  );
  const [a, bad, b] = ["a", "bad", "b"].map((name) => `${folder}/${name}.mpack`);
  await Deno.writeFile(a, packs[0]);
  await Deno.writeFile(b, packs[1]);
  await Deno.writeFile(bad, Uint8Array.of(0x81));
  const of = ["--repo", "me/repo"];
  try {
    await t.step("check", async () => {
      const { code, lines, stderr } = await run("check", a, bad, b);
      assert.equal(code, 3);
      assert.deepEqual(lines.map(({ source, is_valid }) => [source, is_valid]), [
        [a, true],
        [bad, false],
        [b, true],
      ]);
      assert.match(stderr, /1 of 3 failed/);
      assert.equal((await run("check", a, ...of)).code, 2);
      assert.equal((await run("check", a, "--missing")).code, 2);
    });
    await t.step("check --missing", async () => {
      const { code, lines } = await run("check", a, b, "--missing", ...of);
      assert.deepEqual([code, lines.map(({ source, missing }) => [source, missing])], [0, [
        [a, 0],
        [b, 0],
      ]]);
    });
    await t.step("index", async () => {
      const { code, lines } = await run("index", a, bad, b, ...of);
      assert.equal(code, 3);
      assert.deepEqual(lines.map(({ mpack_key, error }) => mpack_key ?? error.code), [
        mpackKey(packs[0]),
        "truncated",
        mpackKey(packs[1]),
      ]);
    });
    await t.step("index says that no manifest names the objects", async () => {
      const { stdout } = await runMain(["index", a, ...of], env);
      assert.match(stdout, /^ {2}warning +no manifest names the objects/m);
      assert.match(stdout, /history +0 commits, 0 snapshots, 0 tags\n/);
      const { lines } = await run("index", a, ...of);
      assert.deepEqual(lines[0].warnings, ["no-manifest"]);
    });
    await t.step("inspect and check say it, too, and count one as one", async () => {
      const inspected = await runMain(["inspect", a], env);
      assert.match(
        inspected.stdout,
        /0 snapshots, 1 object of 1 B, 0 tags\n {2}warning: no manifest/,
      );
      const checked = await runMain(["check", a], env);
      assert.match(checked.stdout, /valid, [^,]+, 0 commits, 1 object, key sha256:/);
      assert.match(checked.stderr, /: no manifest names the objects/);
      assert.deepEqual((await run("check", a)).lines[0].warnings, ["no-manifest"]);
    });
    await t.step("enqueue, inspect", async () => {
      const queued = await run("enqueue", a, b, ...of);
      const keys = queued.lines.map(({ payload }) => payload.mpack_key);
      assert.deepEqual([queued.code, keys], [0, packs.map(mpackKey)]);
      const { lines } = await run("inspect", a, b);
      assert.deepEqual(lines.map(({ mpack_key }) => mpack_key), packs.map(mpackKey));
    });
    await t.step("what is about one mpack is refused, and nothing is begun", async () => {
      const declared = await run("index", a, b, "--declared-objects", "1", ...of);
      assert.deepEqual([declared.code, declared.lines.length], [2, 1]);
      assert.equal((await run("index", "-", "-", ...of)).code, 2);
      const missing = await run("index", a, `${folder}/none`, "--repo", "new/repo", "--create");
      assert.deepEqual([missing.code, missing.lines.length], [2, 1]);
      const repos = await fixture.db.sql`select slug from musehub_repos where owner = 'new'`;
      assert.equal(repos.length, 0);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("status says what waits, who works, and what is paused; a dry run changes nothing", async () => {
  await using fixture = await createFixture();
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const run = async (...args: string[]) =>
    JSON.parse((await runMain([...args, "--json"], env)).stdout);
  await run("enqueue", `sha256:${"0".repeat(64)}`, "--repo", "me/repo");
  await run("jobs", "pause", "--repo", "me/repo");
  const { queue, workers, last_audit, paused } = await run("status");
  assert.deepEqual([queue.pending, queue.running, workers, last_audit], [1, 0, [], null]);
  assert.deepEqual(paused.repo_ids, [fixture.repo.repoId]);
  const { stdout } = await runMain(["status"], env);
  assert.match(stdout, /^workers +none is alive: start one with "mpackd worker"$/m);
  assert.match(stdout, /^Paused: jobs of me\/repo$/m);

  await fixture.db.sql`update musehub_background_jobs
    set status = 'done', finished_at = now() - interval '2 days'`;
  assert.deepEqual(await run("jobs", "purge", "--older-than", "1d", "--dry-run"), {
    would_purge: 1,
  });
  assert.deepEqual(await run("jobs", "purge", "--older-than", "3d", "--dry-run"), {
    would_purge: 0,
  });
  assert.deepEqual(await run("migrate", "--dry-run"), { would_apply: [] });
  await fixture.db.sql`delete from mpackd_migrations where name like '0025%'`;
  assert.deepEqual((await run("migrate", "--dry-run")).would_apply.length, 1);
  const [{ count }] = await fixture.db.sql`select count(*) from mpackd_migrations
    where name like '0025%'`;
  assert.equal(Number(count), 0);
});
