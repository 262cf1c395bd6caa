import assert from "node:assert/strict";

/** What each layer of src/ may import from; the folder itself is understood. */
const ALLOWED: Record<string, readonly string[]> = {
  stream: ["."],
  hash: ["."],
  db: ["."],
  reads: ["db", "hash", "stream", "."],
  upkeep: ["reads", "db", "hash", "stream", "."],
  jobs: ["upkeep", "reads", "db", "hash", "stream", "."],
  api: ["jobs", "upkeep", "reads", "db", "hash", "stream", "."],
  cli: ["api", "jobs", "upkeep", "reads", "db", "hash", "stream", "."],
  ".": ["stream", "hash", "db", "."],
};
/** Leaves at the top of src/ that every layer may import. */
const LEAVES = ["errors.ts"];

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sources(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

const SRC = new URL("../src", import.meta.url).pathname;

/** The layer of a path below src/: its first folder, or "." for the files at the top. */
function layerOf(path: string): string {
  const [first, ...rest] = path.slice(SRC.length + 1).split("/");
  return rest.length === 0 ? "." : first;
}

Deno.test("src/ imports run one way only", async () => {
  const wrong: string[] = [];
  for await (const path of sources(SRC)) {
    const layer = layerOf(path), text = await Deno.readTextFile(path);
    for (
      const [, kind, target] of text.matchAll(
        /^(import type|import|export)\b[^;]*?from "(\.[^"]+)"/gm,
      )
    ) {
      const to = new URL(target, `file://${path}`).pathname;
      const isLeaf = layerOf(to) === "." && LEAVES.includes(to.slice(SRC.length + 1));
      const isTypeOfConfig = kind === "import type" && to.endsWith("/src/config.ts");
      if (layerOf(to) === layer || isLeaf || isTypeOfConfig) continue;
      const isInnerOfStream = layer === "stream" || layer === "hash" || layer === "db";
      if (isInnerOfStream || !ALLOWED[layer]?.includes(layerOf(to))) {
        wrong.push(`${path.slice(SRC.length + 1)} imports ${target}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("only src/hash touches a hash function, so that nothing in a job hashes objects", async () => {
  // The other digests are names of jobs and repos, and signatures of requests.
  const named = ["db/repos.ts", "jobs/queue/enqueue.ts", "stream/s3_sign.ts"];
  // A store that proves what it is given: see the next test.
  named.push("stream/body_digest.ts");
  const found: string[] = [];
  for await (const path of sources(SRC)) {
    const text = await Deno.readTextFile(path), file = path.slice(SRC.length + 1);
    if (/createHash|subtle\.digest|hash-wasm"/.test(text)) found.push(file);
  }
  assert.deepEqual(found.sort(), [...named, "hash/digest.ts", "hash/engine.ts"].sort());
});

Deno.test("only readers and audits hash objects, and stores what they are to prove: no job does", async () => {
  const readers: string[] = [], provers: string[] = [];
  for await (const path of sources(SRC)) {
    const text = await Deno.readTextFile(path), file = path.slice(SRC.length + 1);
    if (/from "[^"]*\/object_hash\.ts"/.test(text)) readers.push(file);
    if (/from "[^"]*\/body_digest\.ts"/.test(text)) provers.push(file);
  }
  // The materializer only where a store says that it proves nothing.
  assert.deepEqual(provers.sort(), ["materialize.ts", "stream/file_write.ts", "stream/s3_put.ts"]);
  assert.deepEqual(readers.sort(), [
    "reads/verify.ts",
    "upkeep/audit_pack.ts",
    "upkeep/inspect.ts",
    "upkeep/scan_pack.ts",
  ]);
});
