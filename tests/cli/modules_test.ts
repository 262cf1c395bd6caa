import assert from "node:assert/strict";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { createFixture } from "../support/process/fixture.ts";
import { runMain } from "../support/process/main.ts";

const ROOT = new URL("../../", import.meta.url).href;

/** What no command needs that indexes or reads once: services, their upkeep, and what is rare. */
const ELSEWHERE = [
  "src/http/",
  "src/jobs/index/materialize.ts",
  "src/jobs/schedules/",
  "src/jobs/shards/",
  "src/jobs/webhooks/",
  "src/jobs/worker/",
  "src/maintenance/shards/",
  "src/db/embedded/",
  "src/db/schema/migrations/",
  "src/db/webhooks/",
  "src/stream/store/s3/",
  "src/stream/zstd/decode_zstd.ts",
];

/** The modules that a command has loaded when it ends: own ones by path, others by package. */
async function loadedBy(args: readonly string[], env: Record<string, string>) {
  const folder = await Deno.makeTempDir();
  try {
    const ended = await runMain(args, { ...env, DENO_COVERAGE_DIR: folder });
    assert.equal(ended.code, 0, ended.stderr);
    const own: string[] = [], packages = new Set<string>();
    for await (const { name } of Deno.readDir(folder)) {
      const { url } = JSON.parse(await Deno.readTextFile(`${folder}/${name}`));
      const [, found] = /\/registry\.npmjs\.org\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? [];
      if (found !== undefined) packages.add(found);
      else if (url.startsWith(ROOT)) own.push(url.slice(ROOT.length));
    }
    return { own: own.sort(), packages: [...packages].sort() };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

// Each module costs a command some 0.2 ms before its first word, so none shall come unnoticed.
Deno.test("a command loads what it needs, and no more", async (t) => {
  await using fixture = await createFixture();
  const content = sampleBytes(100), pack = buildMpack({ objects: [object({ content })] });
  const key = await fixture.put(pack);
  await indexMpack(fixture.options(key));
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const file = await Deno.makeTempFile();
  await Deno.writeFile(file, pack);
  const ofRepo = ["--repo", "me/repo"], database = ["commander", "postgres"];
  const check = (
    args: readonly string[],
    most: number,
    packages: readonly string[],
    elsewhere: readonly string[] = ELSEWHERE,
  ) =>
    t.step(`${args[0]}: at most ${most} modules`, async () => {
      const loaded = await loadedBy(args, env), list = loaded.own.join("\n");
      assert(loaded.own.includes("src/cli/program.ts"), `not all are seen:\n${list}`);
      assert.deepEqual(loaded.packages, packages);
      const needless = loaded.own.filter((path) => elsewhere.some((at) => path.startsWith(at)));
      assert.deepEqual(needless, []);
      assert(loaded.own.length <= most, `${loaded.own.length} modules:\n${list}`);
    });
  await check(["version"], 26, ["commander"]);
  await check(["cat", mpackKey(content), ...ofRepo], 79, database);
  await check(["ls", ...ofRepo], 70, database);
  await check(["enqueue", key, ...ofRepo], 89, database);
  await check(["index", key, ...ofRepo], 170, database);
  await check(["index", file, ...ofRepo], 175, database);
  const all = ["@msgpack/msgpack", "croner", ...database, "structured-headers", "zod"].sort();
  await check(["--help"], 424, all, ["src/cli/services/"]);
  await Deno.remove(file);
});
