import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { startMain } from "../support/process/main.ts";
import { createFixture } from "../support/process/fixture.ts";
import { until } from "../support/until.ts";

const DECODER = new TextDecoder();

Deno.test("Ctrl-C ends guard with 130, even while nothing comes to read", async () => {
  await using fixture = await createFixture();
  const pipe = `${fixture.folder}/pipe`;
  await new Deno.Command("mkfifo", { args: [pipe] }).output();
  const pack = makeMpack({ objects: 20, size: parseSize("100") });
  const { value: head } = await pack[Symbol.asyncIterator]().next();
  const child = startMain(
    ["guard", pipe, "--repo", "me/repo", "--json"],
    { DATABASE_URL: fixture.databaseUrl },
  );
  using writer = await Deno.open(pipe, { write: true });
  await writer.write(head!.subarray(0, 10));
  // Once it is connected, it listens to signals, too.
  const isConnected = async () => {
    const [{ count }] = await fixture.db.sql`select count(*)::int from pg_stat_activity
      where datname = current_database() and application_name = 'mpackd'`;
    return count > 1;
  };
  await until("it is connected", isConnected);
  child.kill("SIGINT");
  const { code, stdout, stderr } = await child.output();
  assert.equal(code, 130, DECODER.decode(stderr));
  assert.equal(JSON.parse(DECODER.decode(stdout)).error.code, "cancelled");
  assert.match(DECODER.decode(stderr), /Interrupted: stopping cleanly/);
});

Deno.test("a file or folder that cannot be used is named, and ends with 2", async (t) => {
  await using fixture = await createFixture();
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const repo = ["--repo", "me/repo"], file = `${fixture.folder}/file`;
  await Deno.writeTextFile(file, "");
  const wrong: readonly string[][] = [
    ["guard", fixture.folder, ...repo],
    ["export", "--to", file, ...repo],
    ["export", "--to", `${file}/sub.tar`, ...repo],
    ["export", "--to", "out.tar", "--ids", fixture.folder, ...repo],
    ["inspect", fixture.folder],
  ];
  for (const args of wrong) {
    await t.step(args.slice(0, 3).join(" ").replaceAll(fixture.folder, ""), async () => {
      const { code, stdout, stderr } = await startMain([...args, "--json"], env, {
        cwd: fixture.folder,
      }).output();
      const { error } = JSON.parse(DECODER.decode(stdout));
      assert.deepEqual([code, error.code], [2, "config"]);
      assert(error.message.includes(fixture.folder), error.message);
      assert(!DECODER.decode(stderr).includes("    at "));
    });
  }
});

Deno.test("export ends with 130 when whoever reads its archive has had enough", async () => {
  await using fixture = await createFixture();
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const path = `${fixture.folder}/pack`;
  const pack = makeMpack({ objects: 64, size: parseSize("64KiB"), seed: 3 });
  await Deno.writeFile(path, ReadableStream.from(pack));
  const { success } = await startMain(["index", path, "--repo", "me/repo"], env).output();
  assert(success);
  const child = startMain(["export", "--to", "-", "--repo", "me/repo"], env);
  await child.stdout.cancel();
  const stderr = await new Response(child.stderr).text();
  assert.equal((await child.status).code, 130, stderr);
  assert.match(stderr, /has closed it \(cancelled\)/);
});
