import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { runMain } from "../support/process/main.ts";
import { createFixture } from "../support/process/fixture.ts";

const SAMPLES = fileURLToPath(import.meta.resolve("../corpus/samples/"));

Deno.test("guard lists what a pack lacks and ends with 3, or says that nothing is missing", async () => {
  await using fixture = await createFixture();
  const env = { DATABASE_URL: fixture.databaseUrl };
  const guard = (...args: string[]) => runMain(["guard", ...args, "--repo", "me/repo"], env);
  const { manifest_ids_missing: wanted } = JSON.parse(
    await Deno.readTextFile(`${SAMPLES}/delta.facts.json`),
  );

  const text = await guard(`${SAMPLES}/delta.mpack`);
  assert.equal(text.code, 3);
  assert.deepEqual(text.stdout.trim().split("\n"), wanted);
  assert.match(text.stderr, /^9 ids are missing in me\/repo/);

  const json = await guard(`${SAMPLES}/delta.mpack`, "--json");
  assert.equal(json.code, 3);
  assert.deepEqual(JSON.parse(json.stdout).missing_ids, wanted);

  const valid = await guard(`${SAMPLES}/prefixed.mpack`, "--json");
  assert.deepEqual(
    [valid.code, JSON.parse(valid.stdout).missing, JSON.parse(valid.stdout).missing_ids],
    [0, 0, []],
  );
  assert.equal((await guard(`${SAMPLES}/none.mpack`)).code, 2);
  // Empty stdin is no pack.
  const { code, stdout } = await guard("-", "--json");
  assert.deepEqual([code, JSON.parse(stdout).error.code], [3, "truncated"]);
});
