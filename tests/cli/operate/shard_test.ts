import assert from "node:assert/strict";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { createTestDatabase } from "../../support/postgres/postgres.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { startServer } from "../../support/http/server_process.ts";
import { runMain } from "../../support/process/main.ts";
import { until } from "../../support/until.ts";

Deno.test("shard add makes a schema a shard, which gets repos, packs and quotas", async (t) => {
  await using fixture = await createFixture();
  await using other = await createTestDatabase("shard");
  const { db, databaseUrl, folder } = fixture;
  const env = { DATABASE_URL: databaseUrl, MPACK_STORE: `file://${folder}`, MPACK_HOME: folder };
  const main = async (...args: string[]) => {
    const { code, stdout, stderr } = await runMain([...args, "--json"], env);
    return { code, stderr, value: stdout === "" ? undefined : JSON.parse(stdout) };
  };
  const file = await Deno.makeTempFile();
  const pack = buildMpack({ objects: [object({ content: new TextEncoder().encode("content") })] });
  await Deno.writeFile(file, pack);
  const place = new URL(other.url),
    url = `postgres://${place.host}${place.pathname}?search_path=s1`;

  await t.step("--dry-run changes nothing", async () => {
    const { value } = await main("shard", "add", "s1", url, "--dry-run");
    assert.deepEqual([value.dry_run, value.new_schema, value.schema], [true, true, "s1"]);
    assert.deepEqual((await main("shard", "list")).value.shards.length, 1);
  });
  await t.step("add, and once more", async () => {
    const { value, code, stderr } = await main("shard", "add", "s1", url);
    assert.equal(code, 0, stderr);
    assert.deepEqual([value.added, value.new_schema], [true, true]);
    assert.doesNotMatch(value.database, /postgres:/);
    const { value: again } = await main("shard", "add", "s1", url);
    assert.deepEqual([again.added, again.new_schema, again.migrations], [false, false, []]);
    assert.equal((await main("shard", "add", "s2")).code, 0);
    assert(await Deno.stat(`${folder}/mpackd-store.s1.json`));
  });
  await t.step("what it refuses", async () => {
    for (
      const [why, ...args] of [
        [/with another URL/, "s1", `${url}x`],
        [/is shard s1 already/, "s3", url],
        [/is the catalog itself/, "s3", "?search_path=public"],
        [/it is not 1 to 50/, "catalog"],
        [/has to name one schema/, "s3", "?search_path=a,b"],
        [/the shard's URL: it needs a host/, "s3", "postgres:///?search_path=a"],
      ] as [RegExp, ...string[]][]
    ) {
      const { code, value } = await main("shard", "add", ...args);
      assert.equal(code, 2);
      assert.match(value.error.message, why);
    }
    const shared = { ...env, MPACK_BLOB_KEY: "mpacks/{mpack_key}" };
    const { stderr } = await runMain(["shard", "add", "s3"], shared);
    assert.match(stderr, /MPACK_BLOB_KEY is mpacks\/\{mpack_key\}/);
  });
  await t.step("a schema with repos of its own", async () => {
    await using strange = await openTestDatabase();
    await strange.db
      .sql`insert into musehub_repos (repo_id, owner, slug) values ('old', 'ann', 'old')`;
    const { value } = await main("shard", "add", "s3", strange.url);
    assert.match(value.error.message, /repos that the catalog does not know \(ann\/old\); --adopt/);
    await db.sql`insert into musehub_repos (repo_id, owner, slug) values ('x', 'ann', 'old')`;
    assert.match(
      (await main("shard", "add", "s3", strange.url, "--adopt")).value.error.message,
      /the catalog has repos of that name or id elsewhere/,
    );
    await db.sql`delete from musehub_repos where repo_id = 'x'`;
    const { value: adopted } = await main("shard", "add", "s3", strange.url, "--adopt");
    assert.deepEqual(adopted.adopted, ["ann/old"]);
    assert.equal((await main("repo", "show", "ann/old")).value.shard, "s3");
    await db.sql`delete from musehub_repos where shard = 's3'`;
    await db.sql`delete from mpackd_shards where name = 's3'`;
  });
  await t.step("repos are placed", async () => {
    const { value } = await main("repo", "create", "ann/song", "--shard", "s1");
    assert.deepEqual([value.shard, value.created], ["s1", true]);
    assert.equal(
      (await main("repo", "create", "ann/here", "--shard", "catalog")).value.shard,
      undefined,
    );
    // The catalog's tables have rows, and a shard's are empty.
    const { value: roomy } = await main("repo", "create", "bob/song");
    assert.match(roomy.shard ?? "catalog", /^(s1|s2|catalog)$/);
    const { value: none } = await main("repo", "create", "bob/other", "--shard", "s9");
    assert.match(none.error.message, /Cannot find shard s9: there are catalog, s1, s2/);
  });
  await t.step("packs are indexed and read in the shard", async () => {
    const { code, stderr } = await main("index", file, "--repo", "ann/song");
    assert.equal(code, 0, stderr);
    const [{ n }] = await db.sql`select count(*)::int as n from musehub_mpacks`;
    assert.equal(n, 0);
    const { value } = await main("packs", "--repo", "ann/song");
    assert.equal(value.mpack_key, mpackKey(pack));
  });
  await t.step("an owner with a limit has all repos in one shard", async () => {
    const { value: spread } = await main("quota", "set", "ann", "--packs", "1");
    assert.match(spread.error.message, /they are in catalog, s1; move them together first/);
    await db.sql`delete from musehub_repos where slug = 'here'`;
    const { value: [limited] } = await main("quota", "set", "ann", "--packs", "2");
    assert.deepEqual([limited.used.packs, limited.limits.packs], [1, 2]);
    assert.equal((await main("repo", "create", "ann/more")).value.shard, "s1");
    const { value: away } = await main("repo", "create", "ann/away", "--shard", "s2");
    assert.match(away.error.message, /they are in s1; leave --shard out/);
    const { code } = await main("index", file, "--repo", "ann/more");
    assert.equal(code, 0);
    await main("repo", "create", "ann/third");
    const { value: full } = await main("index", file, "--repo", "ann/third");
    assert.equal(full.error.code, "quota-exceeded");
    const { value: listed } = await main("quota", "list");
    assert.deepEqual(listed.map((one: { name: string }) => one.name), ["ann"]);
    assert.equal((await main("quota", "remove", "ann")).code, 0);
    assert.deepEqual((await main("quota", "list")).value, []);
  });
  await t.step("edit and delete reach the copy", async () => {
    await main("repo", "edit", "ann/song", "--name", "Song", "--visibility", "public");
    await main("repo", "delete", "ann/more");
    const { value: shard } = await main("repo", "show", "ann/song");
    assert.deepEqual([shard.name, shard.visibility, shard.shard], ["Song", "public", "s1"]);
    assert.equal((await main("repo", "show", "ann/more")).code, 2);
  });
  await t.step("serve takes pushes for a shard, and runs its jobs", async () => {
    await using server = await startServer({ fixture, args: ["--worker"], env });
    const authorization = `Bearer ${server.openToken}`;
    const pushed = await fetch(`${server.url}/ann/song/push/stream`, {
      method: "POST",
      body: new Uint8Array(pack),
      headers: { authorization, "x-mpack-key": mpackKey(pack) },
    });
    assert.equal(pushed.status, 200, await pushed.text());
    const { value: { job_id: jobId } } = await main("enqueue", file, "--repo", "ann/song");
    await until("the job is done", async () => {
      const answer = await fetch(`${server.url}/api/jobs/${jobId}`, { headers: { authorization } });
      const { status, lastError } = await answer.json();
      assert(["pending", "running", "done"].includes(status), JSON.stringify(lastError));
      return status === "done";
    });
    assert.equal(await server.stop(), 0);
    const [{ n }] = await db.sql`select count(*)::int as n from musehub_background_jobs`;
    assert.equal(n, 0);
  });
  await t.step("jobs are listed, shown and changed in every shard", async () => {
    const { value: job } = await main("enqueue", file, "--repo", "ann/song");
    const { value: here } = await main("enqueue", file, "--repo", "me/repo");
    const { value: { jobs, total } } = await main("jobs", "list", "--status", "pending");
    const ids = [here.job_id, job.job_id];
    assert.deepEqual([jobs.map((one: { job_id: string }) => one.job_id), total], [ids, 2]);
    const { value: shown } = await main("jobs", "show", job.job_id.slice(0, 20));
    assert.equal(shown.job_id, job.job_id);
    assert.equal((await main("status")).value.queue.pending, 2);
    assert.equal((await main("status", "--shard", "s1")).value.queue.pending, 1);
    await main("jobs", "pause");
    assert.equal((await main("status")).value.paused.all, true);
    await main("jobs", "resume");
    assert.equal((await main("status")).value.paused.all, false);
    for (const id of ids) {
      assert.equal((await main("jobs", "cancel", id)).value.status, "cancelled");
    }
    assert.equal((await main("jobs", "purge", "--older-than", "0s")).value.purged >= 2, true);
    assert.match((await main("jobs", "show", "x")).value.error.message, /there is no such job/);
  });
  await t.step("stats, audit and doctor count all shards", async () => {
    const { value } = await main("stats");
    assert.deepEqual([value.packs, value.refs], [1, 1]);
    assert.equal((await main("stats", "--repo", "ann/song")).value.packs, 1);
    assert.equal((await main("stats", "--shard", "s2")).value.packs, 0);
    assert.equal((await main("audit", "--repo", "ann/song")).value.summary.mpacks, 1);
    const { value: { checks } } = await main("doctor", "--no-writes");
    const shards = checks.filter((one: { name: string }) => one.name.startsWith("shard "));
    assert.deepEqual(shards.map((one: { status: string }) => one.status), ["ok", "ok"]);
    assert.equal((await main("store", "show", "--shard", "s1")).value.ownership, "ours");
    await db.sql`insert into mpackd_shard_moves (move_id, shard, step, run_id, old_url, new_url,
        old_state, old_version)
      values ('m', 's1', 'fencing', 'r', 'old', 'new', 'open', 1)`;
    const doctor = (await main("doctor", "--no-writes")).value;
    await db.sql`delete from mpackd_shard_moves`;
    const [move] = doctor.checks.filter(({ name }: { name: string }) => name.startsWith("move of"));
    assert.deepEqual([move.name, move.status], ["move of shard s1", "warning"]);
    assert.match(move.found, /at "fencing", begun 0 minutes ago; its pushes wait/);
    assert.match(move.next, /"mpackd shard move s1 --to URL" goes on, with --abort it goes back/);
  });
  await t.step("gc takes nothing that lives in another shard, and frees names", async () => {
    const { value } = await main("gc", "--grace", "0s", "--force");
    assert.deepEqual([value.repos, value.blobs], [1, 2]);
    assert.equal((await main("audit")).value.summary.is_valid, true);
    // The name of a deleted repo is free when its shard has removed its rows.
    assert.equal((await main("repo", "create", "ann/more")).value.created, true);
  });
  await t.step("list, and migrate over all", async () => {
    const { value } = await main("shard", "list");
    assert.deepEqual(value.shards.map((one: { name: string }) => one.name), [
      "catalog",
      "s1",
      "s2",
    ]);
    assert.deepEqual(value.unreachable, []);
    assert.deepEqual((await main("migrate")).value, {
      applied: [],
      shards: [{ shard: "s1", applied: [] }, { shard: "s2", applied: [] }],
    });
    await other.drop();
    const { value: rest, stderr } = await main("shard", "list");
    assert.deepEqual(rest.unreachable, ["s1"], stderr);
  });
});
