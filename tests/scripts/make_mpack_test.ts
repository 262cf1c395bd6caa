import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { parseBytes, parseSize } from "../../scripts/mpack/shape.ts";

interface Pack {
  readonly commits: Record<string, unknown>[];
  readonly snapshots: { snapshot_id: string; manifest: Record<string, string> }[];
  readonly objects: { object_id: string; content: Uint8Array }[];
  readonly tags?: Record<string, unknown>[];
}

async function make(options: Partial<MpackShape>): Promise<{ bytes: Uint8Array; pack: Pack }> {
  const bytes = new Uint8Array(await new Blob(await collect(options)).arrayBuffer());
  return { bytes, pack: decode(bytes) as unknown as Pack };
}

async function collect(options: Partial<MpackShape>): Promise<Uint8Array<ArrayBuffer>[]> {
  const chunks = [];
  for await (const chunk of makeMpack(options)) chunks.push(new Uint8Array(chunk));
  return chunks;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

Deno.test("makeMpack() gives the same bytes for the same options, on every machine", async () => {
  const { bytes } = await make({ objects: 200, tags: 2, seed: 7 });
  assert.equal(sha256(bytes), "7d95aa44b03bd64da9ccea5b65d931c5b30c359133e44bc920303987a2ca5abe");
  const { bytes: other } = await make({ objects: 200, tags: 2, seed: 8 });
  assert.notEqual(sha256(other), sha256(bytes));
});

Deno.test("makeMpack() names every object by the SHA-256 of its content", async (t) => {
  const shapes: Record<string, Partial<MpackShape>> = {
    "log-normal": { objects: 300 },
    "bare ids, unsorted": { objects: 50, bare: true, sorted: false },
    "one huge object": { objects: 9, hugeBytes: 3_000_001 },
    "sizes too small to differ": { objects: 700, size: parseSize("0..1") },
    "every bin header": { objects: 400, size: parseSize("100..70000") },
  };
  for (const [name, options] of Object.entries(shapes)) {
    await t.step(name, async () => {
      const { pack } = await make(options);
      const ids = pack.objects.map(({ object_id }) => object_id);
      assert.equal(new Set(ids).size, options.objects);
      for (const { object_id, content } of pack.objects) {
        assert.equal(object_id, (options.bare ? "" : "sha256:") + sha256(content));
      }
      assert.equal(pack.objects.filter(({ content }) => content.length === 0).length, 1);
    });
  }
});

Deno.test("makeMpack() sorts objects by id and puts the huge one in the middle", async () => {
  const { pack } = await make({ objects: 2_001, size: parseSize("40"), hugeBytes: 90_000 });
  const [huge] = pack.objects.splice(1_000, 1);
  assert.equal(huge.content.length, 90_000);
  const ids = pack.objects.map(({ object_id }) => object_id);
  assert.deepEqual(ids, ids.toSorted());
});

Deno.test("makeMpack() writes the smallest header everywhere, as the real client does", async () => {
  const options = { objects: 70, size: parseSize("0..70000"), paths: 20, tags: 17 };
  const { bytes, pack } = await make(options);
  assert.deepEqual(encode(pack), bytes);
});

Deno.test("makeMpack() writes manifests over objects it holds and objects it does not", async () => {
  const { pack } = await make({ objects: 4, known: 6, snapshots: 3, paths: 5 });
  const held = new Set(pack.objects.map(({ object_id }) => object_id));
  const named = new Set(pack.snapshots.flatMap(({ manifest }) => Object.values(manifest)));
  assert.equal(named.size, 10);
  assert.equal([...named].filter((id) => !held.has(id)).length, 6);
  for (const { manifest } of pack.snapshots) assert.equal(Object.keys(manifest).length, 5);
});

Deno.test("makeMpack() writes commits of 22 keys, child first, and sections as asked", async () => {
  const { pack } = await make({ sections: ["tags", "commits"], tags: 1, commits: 3 });
  assert.deepEqual(Object.keys(pack), ["tags", "commits"]);
  assert.equal(pack.commits.length, 3);
  for (const commit of pack.commits) assert.equal(Object.keys(commit).length, 22);
  assert.equal(pack.commits[0].parent_commit_id, pack.commits[1].commit_id);
  assert.equal(pack.commits[2].parent_commit_id, null);
});

Deno.test("makeMpack() refuses a shape that cannot be", async (t) => {
  const bad: Record<string, Partial<MpackShape>> = {
    "no room for the huge object": { objects: 1, hugeBytes: 5 },
    "half an object": { objects: 1.5 },
    "more ids than memory": { objects: 2 ** 24, known: 1 },
    "a section twice": { sections: ["objects", "objects"] },
  };
  for (const [name, options] of Object.entries(bad)) {
    await t.step(name, async () => {
      await assert.rejects(makeMpack(options).next(), RangeError);
    });
  }
});

Deno.test("parseBytes() reads units and refuses what no bin can hold", () => {
  assert.equal(parseBytes("1.5MiB"), 1_572_864);
  for (const text of ["", "-1", "1.5", "4GiB", "2mb"]) {
    assert.throws(() => parseBytes(text), RangeError, text);
  }
});

Deno.test("make_mpack.ts writes the pack to stdout and its key to stderr", async () => {
  const { bytes } = await make({ objects: 20, size: parseSize("1KiB"), tags: 1 });
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", new URL("../../scripts/make_mpack.ts", import.meta.url).href]
      .concat(["--objects", "20", "--size", "1KiB", "--tags", "1", "--out", "-"]),
  });
  const { code, stdout, stderr } = await command.output();
  assert.equal(code, 0);
  assert.deepEqual(stdout, bytes);
  const { seconds, ...facts } = JSON.parse(new TextDecoder().decode(stderr));
  assert.equal(typeof seconds, "number");
  assert.deepEqual(facts, {
    mpack_key: `sha256:${sha256(bytes)}`,
    size_bytes: bytes.length,
    commits: 10,
    snapshots: 10,
    objects: 20,
    tags: 1,
  });
});
