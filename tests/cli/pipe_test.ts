import assert from "node:assert/strict";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { runMain, startMain } from "../support/process/main.ts";
import { createFixture } from "../support/process/fixture.ts";
import { sampleBytes } from "../support/store/blobs.ts";

const PACK = buildMpack({ objects: [object({ content: sampleBytes(300_000) })] });
const KEY = mpackKey(PACK);

Deno.test("index, enqueue and inspect read an mpack from stdin and from a named pipe", async (t) => {
  await using fixture = await createFixture();
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const temporary = `${fixture.folder}/tmp`;
  await Deno.mkdir(temporary);
  const commands = [["inspect"], ["index", "--repo", "me/repo"], ["enqueue", "--repo", "me/repo"]];
  for (const [command, ...options] of commands) {
    await t.step(`${command} -`, async () => {
      const args = [command, "-", ...options, "--json"];
      const child = startMain(args, { ...env, TMPDIR: temporary }, { stdin: "piped" });
      await ReadableStream.from([PACK]).pipeTo(child.stdin);
      const { code, stdout, stderr } = await child.output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      const { mpack_key, payload } = JSON.parse(new TextDecoder().decode(stdout));
      assert.equal(mpack_key ?? payload.mpack_key, KEY);
    });
    await t.step(`${command} <(…)`, async () => {
      const pack = `${fixture.folder}/pack`;
      await Deno.writeFile(pack, PACK);
      const through = [
        "bash",
        "-c",
        `exec "$@" <(cat ${pack}) ${options.join(" ")} --json`,
        "bash",
      ];
      const { code, stdout, stderr } = await runMain([command], { ...env, TMPDIR: temporary }, {
        through,
      });
      assert.equal(code, 0, stderr);
      const { mpack_key, payload } = JSON.parse(stdout);
      assert.equal(mpack_key ?? payload.mpack_key, KEY);
    });
  }
  await t.step("no temporary file is left", () => {
    assert.deepEqual([...Deno.readDirSync(temporary)], []);
  });
});
