import assert from "node:assert/strict";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { parseBytes, parseSize } from "../../scripts/mpack/shape.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { makeLongHistory } from "../support/history/make_long_history.ts";
import { startServer } from "../support/http/server_process.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { peakOfMain } from "../support/process/peak.ts";

/** 1 runs the sizes of the promise (4 GiB, 3 million objects, 2 million ids); CI an eighth. */
const SHARE = Number(Deno.env.get("MPACKD_TEST_SHARE") ?? 1 / 8);
const MOST_MB = 200;
/** A peak may be so much above that of a 40 MB pack. */
const TOLERANCE = 1.15;

/** Runs `main.ts` on a pack and returns the process's peak resident memory in MB. */
async function peakOf(
  fixture: TestFixture,
  shape: Partial<MpackShape>,
  { command = "index", code = 0 } = {},
): Promise<number> {
  const path = `${fixture.folder}/memory.mpack`;
  await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const peak = await peakOfMain([command, path, "--repo", "me/repo", "--json"], env, { code });
  await Deno.remove(path);
  await Deno.remove(`${fixture.folder}/mpacks`, { recursive: true }).catch(() => {});
  return peak;
}

Deno.test({
  name: "main.ts index takes no more memory for a large pack or object than for a 40 MB pack",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using fixture = await createFixture();
    // Runs differ by some megabytes: the best-known peak of the small pack is the bar.
    const small = Math.max(
      await peakOf(fixture, { objects: 160, size: parseSize("256KiB"), seed: 21 }),
      await peakOf(fixture, { objects: 136_000, size: parseSize("200"), seed: 22 }),
    );
    const huge = await peakOf(fixture, {
      objects: Math.round(8_192 * SHARE),
      size: parseSize("256KiB"),
      hugeBytes: parseBytes("2GiB") * SHARE,
      seed: 23,
    });
    const many = await peakOf(fixture, {
      objects: Math.round(3_000_000 * SHARE),
      size: parseSize("200"),
      seed: 24,
    });
    const figures = `40 MB ${small.toFixed(0)} MB, one huge object ${huge.toFixed(0)} MB, ` +
      `many objects ${many.toFixed(0)} MB`;
    console.log(`Peak RSS: ${figures}`);
    for (const peak of [huge, many]) {
      assert.ok(peak < MOST_MB, figures);
      assert.ok(peak < TOLERANCE * small, figures);
    }
  },
});

Deno.test({
  name: "main.ts guard takes no more memory for many ids than indexing takes",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using fixture = await createFixture();
    const known = Math.round(2_000_000 * SHARE), paths = 50_000;
    const snapshots = Math.ceil(known / paths);
    const shape = { objects: 1, known, snapshots, paths, commits: 1, seed: 25 };
    const peak = await peakOf(fixture, shape, { command: "guard", code: 3 });
    console.log(`Peak RSS of guard with ${known} ids: ${peak.toFixed(0)} MB`);
    assert.ok(peak < MOST_MB, `${peak} MB`);
  },
});

/** Of the 200,000 commits of the promise. */
const COMMITS = Math.round(200_000 * Math.min(1, 2 * SHARE));
const MOST_READER_MB = 300, MOST_SERVER_MIB = 400;

async function indexed(fixture: TestFixture): Promise<string> {
  const { bytes, head } = makeLongHistory(COMMITS);
  const options = fixture.options(await fixture.put(bytes));
  const payload = { branch: "main", strict: true };
  const { commits, branch } = await indexMpack({ ...options, payload });
  assert.deepEqual([commits, branch?.head], [COMMITS, head]);
  // As a database is that has had the time to vacuum.
  await fixture.db.sql`analyze`;
  return head;
}

Deno.test({
  name: "no reader of a history of 200,000 commits takes memory for all of it",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using fixture = await createFixture();
    const head = await indexed(fixture);
    const { sql } = fixture.db;
    await sql`update musehub_repos set visibility = 'public'`;
    await sql`update musehub_commit_refs set created_at = now() - interval '9 days'`;
    await sql`update musehub_snapshot_refs set created_at = now() - interval '9 days'`;
    const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
    const work = await Deno.makeTempDir({ prefix: "mpackd-test-" });
    const figures: string[] = [];
    try {
      const repo = ["--repo", "me/repo"];
      const commands = {
        log: ["log", ...repo],
        "ls-tree": ["ls-tree", "main", ...repo],
        bundle: ["bundle", ...repo, "--to", `${work}/all.mpack`],
        gc: ["gc", "--dry-run"],
      };
      for (const [name, args] of Object.entries(commands)) {
        const peak = await peakOfMain(args, env);
        figures.push(`${name} ${peak.toFixed(0)}`);
        assert.ok(peak < MOST_READER_MB, figures.join());
      }
      await using server = await startServer({ fixture });
      const clone = ["clone", `${server.url}/me/repo`, `${work}/clone`];
      figures.push(`clone ${(await peakOfMain(clone, {})).toFixed(0)}`);
      const ask = (value: object) =>
        fetch(`${server.url}/me/repo/fetch`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(value),
        });
      const all = await ask({ want: [head], have: [], max_bytes: 1e9 });
      assert.equal(all.status, 200);
      for await (const _ of all.body!) { /* Read and forgotten. */ }
      const peak = await server.peakMib();
      figures.push(`server ${peak.toFixed(0)} MiB`);
      assert.ok(peak < MOST_SERVER_MIB, figures.join());
      await server.assertUnharmed();
      console.log(`Peak RSS in MB: ${figures.join(", ")}`);
    } finally {
      await Deno.remove(work, { recursive: true });
    }
  },
});
