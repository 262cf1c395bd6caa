import { encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { HttpProblem } from "../../../src/http/problem.ts";
import { PushBody } from "../../../src/http/routes/history/push_body.ts";

const BUNDLE = {
  commits: [{ commit_id: "c", parents: [null, "p"], metadata: { a: 1.5, b: -7, c: 2 ** 40 } }],
  snapshots: [{ snapshot_id: "s", manifest: { "docs/un été.txt": "x".repeat(300) } }],
  objects: [{ object_id: "o", content: new Uint8Array(70_000).fill(0xc1) }, {}],
};

async function* cut(bytes: Uint8Array, sizeBytes: number) {
  for (let at = 0; at < bytes.length; at += sizeBytes) {
    await Promise.resolve();
    yield bytes.slice(at, at + sizeBytes);
  }
}

async function read(bytes: Uint8Array, sizeBytes: number) {
  const body = new PushBody(cut(bytes, sizeBytes));
  const parts: number[] = [];
  for await (const part of body.bundle()) parts.push(...part);
  return { bundle: Uint8Array.from(parts), terms: await body.terms() };
}

async function refusal(bytes: Uint8Array, sizeBytes = 1_000): Promise<[number, string]> {
  try {
    await read(bytes, sizeBytes);
  } catch (error) {
    assert.ok(error instanceof HttpProblem, String(error));
    return [error.status, error.message];
  }
  throw new Error("The body was accepted");
}

/** A map with entries in the given order, even one twice. */
function mapOf(...entries: readonly (readonly [string, unknown])[]): Uint8Array {
  return Uint8Array.from([
    0x80 | entries.length,
    ...entries.flatMap((entry) => entry.flatMap((value) => [...encode(value)])),
  ]);
}

Deno.test("PushBody finds the bundle and the terms, in any order and however it is cut", async (t) => {
  const small = { ...BUNDLE, objects: [] };
  const orders = [
    mapOf(["bundle", small], ["branch", "feat/x"], ["force", true]),
    mapOf(["branch", "feat/x"], ["force", true], ["bundle", small]),
    mapOf(["force", true], ["later", { a: [1] }], ["bundle", small], ["branch", "feat/x"]),
  ];
  for (const [i, bytes] of orders.entries()) {
    await t.step(`order ${i}`, async () => {
      for (let sizeBytes = 1; sizeBytes <= bytes.length; sizeBytes++) {
        const { bundle, terms } = await read(bytes, sizeBytes);
        assert.deepEqual(bundle, encode(small), `${sizeBytes}-byte chunks`);
        assert.deepEqual(terms, { branch: "feat/x", force: true });
      }
    });
  }
  await t.step("long values", async () => {
    for (const sizeBytes of [1_000, 65_536]) {
      const { bundle, terms } = await read(mapOf(["bundle", BUNDLE], ["branch", "b"]), sizeBytes);
      assert.deepEqual(bundle, encode(BUNDLE));
      assert.deepEqual(terms, { branch: "b", force: false });
    }
  });
});

Deno.test("PushBody reads no further than the bundle before it is asked for the terms", async () => {
  const whole = mapOf(["bundle", { commits: [] }], ["branch", "main"]);
  let pulled = 0;
  const counted = async function* () {
    for await (const chunk of cut(whole, 1)) {
      pulled++;
      yield chunk;
    }
  };
  const body = new PushBody(counted());
  for await (const _ of body.bundle());
  assert.equal(pulled, 1 + encode("bundle").length + encode({ commits: [] }).length);
  assert.deepEqual(await body.terms(), { branch: "main", force: false });
});

Deno.test("PushBody refuses what is not a push, and says why", async (t) => {
  const ok: [string, unknown] = ["bundle", {}], branch: [string, unknown] = ["branch", "main"];
  const cases: [string, Uint8Array, number, RegExp][] = [
    ["nothing", new Uint8Array(), 400, /ends inside/],
    ["a list", encode([]), 422, /not a map/],
    ["no bundle", mapOf(branch), 422, /no `bundle`/],
    ["no branch", mapOf(ok), 422, /no `branch`/],
    ["an empty branch", mapOf(ok, ["branch", ""]), 422, /no `branch`/],
    ["two bundles", mapOf(ok, branch, ok), 422, /`bundle` comes twice/],
    ["two branches", mapOf(ok, branch, branch), 422, /`branch` comes twice/],
    ["a number as branch", mapOf(ok, ["branch", 1]), 422, /not a string/],
    ["a word as force", mapOf(ok, branch, ["force", "no"]), 422, /not a boolean/],
    ["bytes after it", Uint8Array.from([...mapOf(ok, branch), 0]), 400, /goes on after/],
    ["a cut end", mapOf(ok, branch).subarray(0, -1), 400, /ends inside/],
    ["a long branch", mapOf(ok, ["branch", "b".repeat(100_000)]), 413, /too long/],
    ["a long stranger", mapOf(["x", new Uint8Array(70_000)], ok, branch), 413, /too long/],
    ["a long key", mapOf(["k".repeat(2_000), 1], ok, branch), 413, /too long/],
    ["many keys", Uint8Array.from([0xdf, 0xff, 0xff, 0xff, 0xff]), 422, /4,294,967,295 keys/],
    ["a key that is no text", Uint8Array.from([0x81, 0x01, 0x01]), 422, /key is not a string/],
    ["a false UTF-8", Uint8Array.from([0x81, 0xa1, 0xff, 0x01]), 422, /not UTF-8/],
    [
      "a list of billions",
      Uint8Array.from([0x81, 0xa1, 0x78, 0xdd, 255, 255, 255, 255]),
      400,
      /ends/,
    ],
  ];
  for (const [name, bytes, status, text] of cases) {
    await t.step(name, async () => {
      for (const sizeBytes of [1, 1_000_000]) {
        const [found, message] = await refusal(bytes, sizeBytes);
        assert.equal(found, status, message);
        assert.match(message, text);
      }
    });
  }
});
