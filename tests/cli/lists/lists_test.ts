import assert from "node:assert/strict";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { runMain } from "../../support/process/main.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { createFixture } from "../../support/process/fixture.ts";

Deno.test("ls lists objects, packs lists mpacks, in pages and until the reader stops", async (t) => {
  await using fixture = await createFixture();
  const env = { DATABASE_URL: fixture.databaseUrl };
  const run = (...args: string[]) => runMain([...args, "--repo", "me/repo"], env);
  const lines = (text: string) => text.trimEnd().split("\n");
  await t.step("an empty repo says so", async () => {
    assert.deepEqual(await run("ls"), { code: 0, stdout: "", stderr: "me/repo has no objects\n" });
    assert.equal((await run("packs")).stderr, "me/repo has no mpacks\n");
  });
  const contents = ["a", "bb"].map((text) => new TextEncoder().encode(text));
  const [one, two] = contents.map((content) => buildMpack({ objects: [object({ content })] }));
  for (const bytes of [one, two]) await indexMpack(fixture.options(await fixture.put(bytes)));
  await fixture.db.sql`insert into musehub_object_refs (repo_id, object_id, mpack_id,
      content_offset, size_bytes)
    select ${fixture.repo.repoId}, 'sha256:' || encode(sha256(n::text::bytea), 'hex'),
      (select min(mpack_id) from musehub_mpacks), n, 1500
    from generate_series(1, 1500) n`;
  const rows = await fixture.db.sql`select object_id from musehub_object_refs order by object_id`;
  const ids = rows.map(({ object_id }) => object_id as string);

  await t.step("ls", async () => {
    const all = lines((await run("ls")).stdout);
    assert.deepEqual(all.map((line) => line.split(/ {2,}/).at(-2)), ids);
    const a = all.find((line) => line.includes(mpackKey(contents[0])));
    assert.equal(a, `     1 B  ${mpackKey(contents[0])}  ${mpackKey(one).slice(7, 19)}`);
    const some = lines((await run("ls", "--limit", "2", "--after", ids[9], "--json")).stdout);
    assert.deepEqual(some.map((line) => JSON.parse(line).object_id), ids.slice(10, 12));
    assert.equal((await run("ls", "--limit", "none")).code, 2);
  });
  await t.step("packs", async () => {
    const [, ...packs] = lines((await run("packs")).stdout);
    assert.deepEqual(
      packs.map((line) => line.slice(0, 12)),
      [two, one].map((bytes) => mpackKey(bytes).slice(7, 19)),
    );
    const [first, ...rest] = lines((await run("packs", "--json", "--limit", "1")).stdout);
    const { indexed_at: _, ...pack } = JSON.parse(first);
    assert.deepEqual([pack, rest], [{
      mpack_key: mpackKey(two),
      size_bytes: two.length,
      objects: 1,
      commits: 0,
      snapshots: 0,
      tags: 0,
    }, []]);
  });
  await t.step("inspect, audit and enqueue take the beginning of a key", async () => {
    const start = mpackKey(two).slice(7, 19), store = { MPACK_STORE: `file://${fixture.folder}` };
    const found = async (...args: string[]) => {
      const of = [...args, "--repo", "me/repo", "--json"];
      return (await runMain(of, { ...env, ...store })).stdout;
    };
    assert.equal(JSON.parse(await found("inspect", start)).mpack_key, mpackKey(two));
    assert.match(await found("audit", "--mpack", start), /"mpacks":1,/);
    const job = JSON.parse(await found("enqueue", `sha256:${start}`));
    assert.deepEqual(job.payload, { mpack_key: mpackKey(two) });
    const { error } = JSON.parse(await found("inspect", "sha256:0000"));
    assert.match(error.message, /no key of this repo begins so/);
  });
});
