import assert from "node:assert/strict";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { runMain } from "../../support/process/main.ts";

Deno.test("quota sets, lists and removes limits; index and enqueue go by them", async (t) => {
  await using fixture = await createFixture();
  const file = await Deno.makeTempFile();
  const pack = buildMpack({ objects: [object({ content: new TextEncoder().encode("content") })] });
  await Deno.writeFile(file, pack);
  const env = {
    DATABASE_URL: fixture.databaseUrl,
    MPACK_STORE: `file://${fixture.folder}`,
    MPACK_HOME: fixture.folder,
  };
  const main = async (...args: string[]) => {
    const { code, stdout } = await runMain([...args, "--json"], env);
    return { code, value: JSON.parse(stdout) };
  };
  const unlimited = { bytes: null, objects: null, packs: null, pushes: null };
  await t.step("set", async () => {
    const { value } = await main("quota", "set", "me", "--bytes", "1KiB", "--packs", "0");
    assert.deepEqual(value[0].limits, { ...unlimited, bytes: 1024, packs: 0 });
    const { value: [repo] } = await main("quota", "set", "me/repo", "--objects", "5");
    assert.deepEqual([repo.of, repo.name, repo.percent], ["repo", "me/repo", 0]);
    for (const wrong of [["me"], ["me", "--bytes", "much"], ["me/none", "--packs", "1"]]) {
      assert.equal((await main("quota", "set", ...wrong)).code, 2);
    }
  });
  await t.step("index and enqueue store nothing", async () => {
    for (const command of ["index", "enqueue"]) {
      const { code, value } = await main(command, file, "--repo", "me/repo");
      assert.deepEqual([code, value.error.code], [3, "quota-exceeded"]);
    }
    await assert.rejects(fixture.store.stat(`mpacks/${fixture.repo.repoId}/${mpackKey(pack)}`));
  });
  await t.step("list, and stats", async () => {
    const { value } = await main("quota", "list", "--min-percent", "80");
    assert.deepEqual(value.map(({ name }: { name: string }) => name), ["me"]);
    assert.deepEqual((await main("stats")).value.tenants_at_limits, value);
    const { stdout } = await runMain(["quota", "list"], env);
    assert.equal(stdout.split("\n")[0], "me  100%  bytes 0 B of 1.02 kB  packs 0 of 0");
  });
  await t.step("unlimited, and remove", async () => {
    await main("quota", "set", "me", "--packs", "unlimited");
    assert.equal((await main("index", file, "--repo", "me/repo")).code, 0);
    assert.equal((await runMain(["quota", "remove", "me"], env)).code, 0);
    assert.equal((await runMain(["quota", "remove", "me"], env)).code, 2);
  });
  await t.step("an audit counts again", async () => {
    await fixture.db.sql`update mpackd_usage set objects = 4`;
    assert.equal((await main("audit")).value.summary.quotas_corrected, 1);
    assert.equal((await main("audit")).value.summary.quotas_corrected, 0);
  });
});
