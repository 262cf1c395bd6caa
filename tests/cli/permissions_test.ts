import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { enqueue, getJob } from "../../src/jobs/queue/mod.ts";
import { concat } from "../support/store/blobs.ts";
import { makeBucket, s3Engine, type TempBucket } from "../support/store/swift.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const ROOT = fileURLToPath(import.meta.resolve("../../"));
/** Long enough for the hashing thread to be started. */
const PACK = concat(
  await Array.fromAsync(makeMpack({ objects: 40, size: parseSize("256KiB"), seed: 5 })),
);

/** The permission flags of docs/operations.md, one flag for each value of a list. */
async function documentedFlags(database: URL, store: URL): Promise<string[]> {
  const document = await Deno.readTextFile(`${ROOT}docs/operations.md`);
  const [, text] = /^deno run (--no-prompt [^`]*?) main\.ts worker --http-port 9100$/ms
    .exec(document.replaceAll("\\\n", ""))!;
  return text.trim().split(/\s+/).flatMap((flag) => {
    const [name, list] = flag.split("=");
    if (list === undefined) return [flag];
    const values = list.replace("DB:5432", database.host).replace("S3:443", store.host).split(",");
    return values.filter((value) => value !== "").map((value) => `${name}=${value}`);
  });
}

async function drain(
  flags: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number; text: string }> {
  const kept = ["PATH", "HOME", "DENO_DIR"].flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", ...flags, "main.ts", "worker", "--drain"],
    cwd: ROOT,
    clearEnv: true,
    env: { ...Object.fromEntries(kept), NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  return { code, text: new TextDecoder().decode(stderr) };
}

/** Runs the README's worker as it is, then once without each flag that `needed` names. */
async function check(
  t: Deno.TestContext,
  fixture: TestFixture,
  { flags, needed, env }: {
    readonly flags: readonly string[];
    readonly needed: readonly string[];
    readonly env: Record<string, string>;
  },
): Promise<void> {
  const payload = { mpack_key: await fixture.put(PACK) };
  const { repoId } = fixture.repo;
  const { row } = await enqueue(fixture.db, { repoId, jobType: "mpack.index", payload });
  for (const missing of needed) {
    await t.step(`without ${missing.replace(/=.*/, "")}`, async () => {
      assert(flags.includes(missing), flags.join(" "));
      const { code, text } = await drain(flags.filter((flag) => flag !== missing), env);
      assert.equal(code, 2, text);
      assert(text.includes(missing.replace("=src", `=${ROOT}src`)), text);
      const { status, attempt } = (await getJob(fixture.db, row.jobId))!;
      assert.deepEqual([status, attempt], ["pending", 0]);
    });
  }
  await t.step("with all of them", async () => {
    const { code, text } = await drain(flags, env);
    assert.equal(code, 0, text);
    assert.equal((await getJob(fixture.db, row.jobId))!.status, "done");
  });
}

Deno.test("worker needs what the documents say of a folder store, and names what it lacks", async (t) => {
  await using fixture = await createFixture();
  const database = new URL(fixture.databaseUrl);
  const documented = await documentedFlags(database, new URL("http://store.invalid"));
  const folder = [`--allow-read=${fixture.folder}`, `--allow-write=${fixture.folder}`];
  await check(t, fixture, {
    flags: [...documented, ...folder].filter((flag) =>
      ![`--allow-net=store.invalid`, "--allow-net=127.0.0.1"].includes(flag)
    ),
    needed: [
      "--allow-env",
      "--allow-sys=hostname",
      `--allow-net=${database.host}`,
      "--allow-read=src",
      ...folder,
    ],
    env: { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` },
  });
});

Deno.test({
  name: "worker needs what the documents say of an S3 store, and names what it lacks",
  ignore: s3Engine === undefined,
  async fn(t) {
    await using bucket: TempBucket = await makeBucket();
    await using fixture = await createFixture({ store: bucket.store });
    const { options } = bucket;
    const database = new URL(fixture.databaseUrl), store = new URL(options.endpoint);
    const place = new URLSearchParams({ endpoint: store.origin, region: options.region });
    const documented = await documentedFlags(database, store);
    await check(t, fixture, {
      flags: documented.filter((flag) => flag !== "--allow-net=127.0.0.1"),
      needed: [`--allow-net=${store.host}`, "--allow-read=src"],
      env: {
        DATABASE_URL: fixture.databaseUrl,
        MPACK_STORE: `s3://${options.bucket}?${place}`,
        AWS_ACCESS_KEY_ID: options.accessKeyId,
        AWS_SECRET_ACCESS_KEY: options.secretAccessKey,
      },
    });
  },
});
