import assert from "node:assert/strict";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { assertSameBytes, sampleBytes } from "../support/store/blobs.ts";
import { runMain } from "../support/process/main.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { patchByte } from "../support/patch.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const CONTENTS = [0, 10, 70_000, 9_000_000, 600].map((size) => sampleBytes(size, size));
const IDS = CONTENTS.map(mpackKey);

async function inFixture(
  run: (fixture: TestFixture, folder: string, exporting: typeof runMain) => Promise<void>,
) {
  await using fixture = await createFixture();
  const objects = CONTENTS.map((content) => object({ content }));
  await indexMpack(fixture.options(await fixture.put(buildMpack({ objects }))));
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const folder = await Deno.makeTempDir();
  try {
    const exporting = (args: readonly string[]) =>
      runMain(["export", "--repo", "me/repo", ...args], env);
    await run(fixture, folder, exporting);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.map(({ name }) => name).sort();
}

async function assertExported(folder: string, indexes: readonly number[]): Promise<void> {
  assert.deepEqual(await namesIn(folder), indexes.map((i) => IDS[i]).sort());
  for (const i of indexes) assertSameBytes(await Deno.readFile(`${folder}/${IDS[i]}`), CONTENTS[i]);
}

async function untar(archive: string, folder: string): Promise<void> {
  await Deno.mkdir(folder);
  // By default tar takes what stands before a colon for a host.
  const args = ["--force-local", "-xf", archive, "-C", folder];
  const { success } = await new Deno.Command("tar", { args }).output();
  assert.ok(success);
}

Deno.test("export writes every object to a folder or a tar archive, named by its id", async (t) => {
  await inFixture(async (_world, folder, exporting) => {
    const all = IDS.map((_, i) => i);
    await t.step("a folder", async () => {
      const { code, stdout } = await exporting(["--to", `${folder}/out`, "--json"]);
      const { elapsed_ms: _, ...result } = JSON.parse(stdout);
      const bytes = CONTENTS.reduce((sum, { length }) => sum + length, 0);
      assert.deepEqual(result, { objects: 5, bytes, refused: 0, refusals: [] });
      assert.equal(code, 0);
      await assertExported(`${folder}/out`, all);
    });
    await t.step("a tar archive, the same every time", async () => {
      for (const name of ["one", "two"]) {
        assert.equal((await exporting(["--to", `${folder}/${name}.tar`])).code, 0);
      }
      const [one, two] = [`${folder}/one.tar`, `${folder}/two.tar`];
      assertSameBytes(await Deno.readFile(one), await Deno.readFile(two));
      await untar(one, `${folder}/untarred`);
      await assertExported(`${folder}/untarred`, all);
    });
    await t.step("only some ids; what is not there is refused", async () => {
      const absent = mpackKey(sampleBytes(3));
      await Deno.writeTextFile(`${folder}/ids`, `${IDS[3]}\n${absent}\n\n${IDS[0]}\r\n../up\n`);
      const to = `${folder}/some`;
      const { code, stdout } = await exporting(["--to", to, "--ids", `${folder}/ids`, "--json"]);
      assert.equal(code, 3);
      const { refused, refusals } = JSON.parse(stdout);
      assert.equal(refused, 2);
      assert.deepEqual(
        refusals.map(({ object_id, code }: Record<string, string>) => [object_id, code]),
        [[absent, "object-not-found"], ["../up", "object-not-found"]],
      );
      await assertExported(to, [0, 3]);
    });
  });
});

Deno.test("export leaves a damaged object out of a folder or archive, and ends with 3", async (t) => {
  for (const i of [2, 3]) {
    await t.step(
      `of ${CONTENTS[i].length} bytes`,
      () =>
        inFixture(async (fixture, folder, exporting) => {
          const [{ key, at }] = await fixture.db.sql`
          select mpack_key as key, content_offset as at
          from musehub_object_refs join musehub_mpacks using (mpack_id)
          where object_id = ${IDS[i]}`;
          await patchByte(fixture.blobPath(key), at + 5);
          const { code, stdout } = await exporting(["--to", `${folder}/out`, "--json"]);
          assert.equal(code, 3);
          const [refusal] = JSON.parse(stdout).refusals;
          assert.deepEqual([refusal.object_id, refusal.code], [IDS[i], "object-mismatch"]);
          const valid = IDS.map((_, n) => n).filter((n) => n !== i);
          await assertExported(`${folder}/out`, valid);
          const archive = await exporting(["--to", `${folder}/out.tar`, "--json"]);
          assert.equal(archive.code, 3);
          assert.equal(JSON.parse(archive.stdout).refusals[0].object_id, IDS[i]);
          assert.deepEqual(await namesIn(folder), ["out", "out.tar"]);
          await untar(`${folder}/out.tar`, `${folder}/untarred`);
          await assertExported(`${folder}/untarred`, valid);

          // A large object is found out when its header is written already.
          const piped = await exporting(["--to", "-"]);
          assert.equal(piped.code, 3);
          assert.match(piped.stderr, new RegExp(`${IDS[i]}.*object-mismatch`));
        }),
    );
  }
});
