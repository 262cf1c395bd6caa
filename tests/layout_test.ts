import assert from "node:assert/strict";

/** What each layer of src/ may import from, besides itself. */
const ALLOWED: Record<string, readonly string[]> = {
  "errors.ts": [],
  lib: ["errors.ts"],
  stream: ["lib", "errors.ts"],
  hash: ["lib", "errors.ts"],
  config: ["hash", "stream", "lib", "errors.ts"],
  db: ["lib", "errors.ts"],
  objects: ["db", "hash", "stream", "config", "lib", "errors.ts"],
  history: ["objects", "db", "hash", "stream", "config", "lib", "errors.ts"],
  maintenance: ["history", "objects", "db", "hash", "stream", "config", "lib", "errors.ts"],
  jobs: ["maintenance", "history", "objects", "db", "hash", "stream", "config", "lib", "errors.ts"],
  http: [
    "jobs",
    "maintenance",
    "history",
    "objects",
    "db",
    "hash",
    "stream",
    "config",
    "lib",
    "errors.ts",
  ],
  cli: [
    "http",
    "jobs",
    "maintenance",
    "history",
    "objects",
    "db",
    "hash",
    "stream",
    "config",
    "lib",
    "errors.ts",
  ],
};

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sources(`${folder}/${name}`);
    else if (/\.tsx?$/.test(name)) yield `${folder}/${name}`;
  }
}

const ROOT = new URL("../", import.meta.url).pathname, SRC = `${ROOT}src`;

/** The layer of a path below src/: its first folder, or the file itself at the top. */
function layerOf(path: string): string {
  return path.slice(SRC.length + 1).split("/")[0];
}

/** Each file under src/ with the files it imports, types included. */
async function importsOf(): Promise<Map<string, string[]>> {
  const imports = new Map<string, string[]>();
  for await (const path of sources(SRC)) {
    const text = await Deno.readTextFile(path);
    const targets = [
      ...text.matchAll(/^(?:import|export)\b[^;]*?from "(\.[^"]+)"/gm),
      ...text.matchAll(/\bimport\("(\.[^"]+)"\)/g),
    ];
    imports.set(path, targets.map(([, target]) => new URL(target, `file://${path}`).pathname));
  }
  return imports;
}

Deno.test("src/ imports run one way only", async () => {
  const wrong: string[] = [];
  for (const [path, targets] of await importsOf()) {
    for (const to of targets) {
      const from = layerOf(path);
      // The version printed is the one that deno.json has.
      if (from === "cli" && to.endsWith("/deno.json")) continue;
      if (layerOf(to) === from || ALLOWED[from]?.includes(layerOf(to))) continue;
      wrong.push(`${path.slice(SRC.length + 1)} imports ${to.slice(SRC.length + 1)}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("no file of src/ imports itself through others, not even for a type", async () => {
  const imports = await importsOf();
  const done = new Set<string>(), circles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      circles.push(trail.slice(start).map((p) => p.slice(SRC.length + 1)).join(" > "));
    }
    if (start >= 0 || done.has(path)) return;
    for (const to of imports.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
  assert.deepEqual(circles, []);
});

Deno.test("no folder has more than 20 source files", async () => {
  const counts = new Map<string, number>();
  for (const top of ["src", "tests", "bench", "scripts"]) {
    for await (const path of sources(`${ROOT}${top}`)) {
      const folder = path.slice(ROOT.length, path.lastIndexOf("/"));
      counts.set(folder, (counts.get(folder) ?? 0) + 1);
    }
  }
  assert.deepEqual([...counts].filter(([, count]) => count > 20), []);
});

const WAITS_FOR_EVER =
  / while \(!await | while \([^\n]*\) (?:\{\n +)?await (?:sleep|pause|new Promise)\(/;

Deno.test("tests wait with until(), which ends, and never in a loop of their own", async () => {
  const found: string[] = [];
  for await (const path of sources(`${ROOT}tests`)) {
    const text = await Deno.readTextFile(path);
    if (WAITS_FOR_EVER.test(text)) found.push(path);
  }
  assert.deepEqual(found.map((path) => path.slice(ROOT.length)), ["tests/support/until.ts"]);
});

Deno.test("only src/hash touches a hash function, so that nothing in a job hashes objects", async () => {
  // The other digests are signatures of requests.
  const named = ["stream/store/s3/sign.ts"];
  // A store that proves what it is given: see the next test.
  named.push("stream/store/checked_body.ts");
  const found: string[] = [];
  for await (const path of sources(SRC)) {
    const text = await Deno.readTextFile(path), file = path.slice(SRC.length + 1);
    if (/createHash|subtle\.digest|hash-wasm"/.test(text)) found.push(file);
  }
  assert.deepEqual(
    found.sort(),
    [...named, "lib/digest.ts", "hash/engine.ts", "hash/hash_wasm.ts"].sort(),
  );
});

Deno.test("only readers and audits hash objects, and stores what they are to prove: no job does", async () => {
  const readers: string[] = [], provers: string[] = [];
  for await (const path of sources(SRC)) {
    const text = await Deno.readTextFile(path), file = path.slice(SRC.length + 1);
    if (/from "[^"]*\/object_hash\.ts"/.test(text)) readers.push(file);
    if (/from "[^"]*\/checked_body\.ts"/.test(text)) provers.push(file);
  }
  // The materializer only where a store says that it proves nothing.
  assert.deepEqual(provers.sort(), [
    // It hashes nothing: it tells a client that a folder refused the joined parts.
    "http/part_upload.ts",
    "jobs/index/materialize.ts",
    // It offers a store a wrong digest, which must be refused.
    "maintenance/doctor/check_store.ts",
    "maintenance/repack/repack.ts",
    "stream/store/folder/write_file.ts",
    "stream/store/s3/put.ts",
  ]);
  assert.deepEqual(readers.sort(), [
    "maintenance/audit/audit_mpack.ts",
    "maintenance/content_hashes.ts",
    "objects/check_object.ts",
  ]);
});
