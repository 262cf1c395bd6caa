import assert from "node:assert/strict";
import fc from "fast-check";
import { HistoryError, InvalidMpackError } from "../../../src/errors.ts";
import { recordHasher } from "../../../src/hash/record_hash.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { DeltaVerifier } from "../../../src/stream/mpack/history/delta_verifier.ts";
import { DEFAULT_LIMITS } from "../../../src/stream/mpack/limits.ts";
import { MpackDecoder } from "../../../src/stream/mpack/mpack_decoder.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { type Manifest, snapshotIdOf, snapshotRecord } from "../../support/history/records.ts";
import { buildMpack, cut, mpackKey, type Value } from "../../support/mpack/mpacks.ts";
import { mark, marked } from "../../support/mpack/rules.ts";
import { faultyDatabase } from "../../support/postgres/faults.ts";
import { createFixture } from "../../support/process/fixture.ts";

const [A, B, C] = ["a", "b", "c"].map((text) => mpackKey(new TextEncoder().encode(text)));

interface VerifyOptions {
  readonly chunkBytes?: number;
  readonly limits?: { readonly maxManifestBytes?: number; readonly maxNodes?: number };
  /** The snapshots of the repo. */
  readonly repo?: readonly Manifest[];
}

/** Reads a pack as an index does, without a database. */
async function verify(pack: Uint8Array, options: VerifyOptions = {}): Promise<void> {
  const { chunkBytes = pack.length, repo = [] } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const known = new Map(repo.map((manifest) => [snapshotIdOf(manifest), manifest]));
  const verifier = new DeltaVerifier({
    limits,
    hasher: recordHasher,
    async *load(snapshotId) {
      const manifest = known.get(snapshotId);
      if (!manifest) throw new HistoryError("history-not-found", "Cannot find it");
      const entries = Object.entries(manifest).sort(([one], [other]) => one < other ? -1 : 1);
      for (const entry of entries) yield await Promise.resolve([entry]);
    },
  });
  // The decoder counts nodes of its own, and more of them.
  const { maxNodes } = DEFAULT_LIMITS;
  const decoder = new MpackDecoder({
    history: recordHasher,
    hooks: { snapshot: (...found) => verifier.snapshot(...found) },
    limits: { ...limits, maxNodes },
  });
  for (const chunk of cut(pack, chunkBytes)) {
    decoder.write(chunk);
    await verifier.drain();
  }
  decoder.end();
}

/** A delta from one manifest to another one, as clients write it. */
function delta(from: Manifest, to: Manifest, extra: Record<string, Value> = {}) {
  const add = Object.entries(to).filter(([path, id]) => from[path] !== id);
  return {
    snapshot_id: snapshotIdOf(to),
    parent_snapshot_id: snapshotIdOf(from),
    delta_add: Object.fromEntries(add),
    delta_remove: Object.keys(from).filter((path) => !(path in to)),
    ...extra,
  };
}

const pack = (...snapshots: Value[]) => buildMpack({ snapshots });
const ONE = { "a.txt": A, "d/b": B, z: A }, TWO = { "a.txt": B, "d/a": C, z: A };

Deno.test("DeltaVerifier accepts deltas to a snapshot before them, or to one of the repo", async (t) => {
  const cases: Record<string, [Uint8Array, VerifyOptions?]> = {
    "to a whole one": [pack(snapshotRecord(ONE), delta(ONE, TWO))],
    "to one without parent": [pack(
      { snapshot_id: snapshotIdOf(ONE), parent_snapshot_id: null, delta_add: ONE },
      delta(ONE, TWO),
    )],
    "to a delta, and back": [pack(snapshotRecord(ONE), delta(ONE, TWO), delta(TWO, ONE))],
    "to the same one twice": [pack(snapshotRecord(ONE), delta(ONE, TWO), delta(ONE, {}))],
    "to an empty one": [pack(snapshotRecord({}), delta({}, ONE))],
    "that changes nothing": [pack(snapshotRecord(ONE), delta(ONE, ONE, { delta_remove: ["x"] }))],
    "that adds what it removes": [
      pack(snapshotRecord(ONE), delta(ONE, TWO, { delta_remove: ["d/b", "d/a", "a.txt"] })),
    ],
    "to one of the repo": [pack(delta(ONE, TWO), delta(TWO, ONE)), { repo: [ONE] }],
    "that no rule can check": [
      pack(snapshotRecord(ONE), delta(ONE, TWO, { snapshot_id: A, directories: ["d"] })),
    ],
  };
  for (const [name, [bytes, options]] of Object.entries(cases)) {
    await t.step(name, async () => {
      for (const chunkBytes of [1, 100, bytes.length]) {
        await verify(bytes, { ...options, chunkBytes });
      }
    });
  }
});

Deno.test("DeltaVerifier refuses a delta under a false id, and one to a snapshot that nobody has", async (t) => {
  const changed = { ...TWO, "a.txt": C };
  const cases: Record<string, [code: string, Uint8Array, VerifyOptions?]> = {
    "another id": [
      "false-id",
      pack(snapshotRecord(ONE), mark(delta(ONE, TWO, { snapshot_id: A }))),
    ],
    "another object": [
      "false-id",
      pack(snapshotRecord(ONE), mark(delta(ONE, changed, { snapshot_id: snapshotIdOf(TWO) }))),
    ],
    "another parent": [
      "false-id",
      pack(
        snapshotRecord(ONE),
        delta(ONE, {}),
        mark(delta(ONE, TWO, { parent_snapshot_id: snapshotIdOf({}) })),
      ),
    ],
    "a path that is not removed": [
      "false-id",
      pack(snapshotRecord(ONE), mark(delta(ONE, TWO, { delta_remove: [] }))),
    ],
    "a parent of the repo": ["false-id", pack(mark(delta(ONE, TWO, { delta_add: {} }))), {
      repo: [ONE],
    }],
    "no such parent": ["snapshot-missing", pack(mark(delta(ONE, TWO)))],
    "a parent that comes later": [
      "snapshot-missing",
      pack(mark(delta(ONE, TWO)), snapshotRecord(ONE)),
    ],
    "itself": ["snapshot-missing", pack(mark(delta(ONE, ONE)))],
    "a large manifest": [
      "limit-exceeded",
      pack(snapshotRecord(ONE), mark(delta(ONE, { ...ONE, "0": A }))),
      { limits: { maxManifestBytes: 4 * 66 + 9 } },
    ],
    "a large parent of the repo": ["limit-exceeded", pack(mark(delta(ONE, {}))), {
      repo: [ONE],
      limits: { maxManifestBytes: 3 * 66 + 8 },
    }],
    "many entries": [
      "limit-exceeded",
      pack(
        snapshotRecord({ a: A }),
        delta({ a: A }, { a: B }),
        mark(delta({ a: B }, { a: A, b: A })),
      ),
      { limits: { maxNodes: 2 } },
    ],
  };
  for (const [name, [code, bytes, options]] of Object.entries(cases)) {
    await t.step(`${code}: ${name}`, async () => {
      const { pack, offsetBytes } = marked(bytes);
      for (const chunkBytes of [1, pack.length]) {
        const isThis = (error: unknown) => {
          assert.ok(error instanceof InvalidMpackError, `${error}`);
          assert.deepEqual([error.code, error.offsetBytes], [code, offsetBytes]);
          return true;
        };
        await assert.rejects(verify(pack, { ...options, chunkBytes }), isThis);
      }
    });
  }
});

Deno.test("DeltaVerifier builds what applying deltas to maps makes", async () => {
  const path = fc.constantFrom("a", "a/b", "a.b", "a0", "b", "é", "\u{ff61}", "\u{1f600}", "ab");
  const manifest = fc.dictionary(path, fc.constantFrom(A, B, C), { noNullPrototype: true });
  await fc.assert(
    fc.asyncProperty(fc.array(manifest, { minLength: 2, maxLength: 6 }), async (states) => {
      const deltas = states.slice(1).map((state, i) => delta(states[i], state));
      await verify(pack(snapshotRecord(states[0]), ...deltas), { chunkBytes: 333 });
    }),
    { numRuns: 300 },
  );
});

Deno.test("indexMpack() builds deltas upon those of earlier packs, and refuses false ones", async () => {
  await using fixture = await createFixture();
  const made = new MadeHistory();
  const ids = ["one", "two", "three", "four"].map((text, i) =>
    made.commit({ files: { "a.txt": text, [`${i}.txt`]: text, same: "same" } })
  );
  const whole = await fixture.put(made.pack({ commits: ids.slice(0, 2), isDelta: true }).bytes);
  const first = await indexMpack(fixture.options(whole));
  assert.equal(first.snapshots_written, 2);
  const [from, to] = [ids[1], ids[2]].map((id) =>
    Object.fromEntries(made.snapshots.get(made.commits.get(id)!.snapshotId)!.manifest)
  );
  const commits = [made.commits.get(ids[2])!.record];
  const objects = made.objectsOf([ids[2]]).map((objectId) => ({
    object_id: objectId,
    content: made.contents.get(objectId)!,
  }));
  const next = buildMpack({ commits, snapshots: [delta(from, to)], objects });
  const second = await indexMpack(fixture.options(await fixture.put(next)));
  assert.equal(second.snapshots_written, 1);
  const false_ = buildMpack({ snapshots: [delta(from, to, { delta_remove: [] })] });
  await assert.rejects(indexMpack(fixture.options(await fixture.put(false_))), {
    code: "false-id",
  });
});

Deno.test("indexMpack() starts over if it was killed between a delta and its parent", async () => {
  await using fixture = await createFixture();
  const state = (i: number) =>
    Object.fromEntries(Array.from({ length: 900 }, (_, at) => [`${at}.txt`, [A, B][(i + at) % 2]]));
  const deltas = Array.from({ length: 12 }, (_, i) => delta(state(i), state(i + 1)));
  const bytes = pack(snapshotRecord(state(0)), ...deltas);
  const options = fixture.options(await fixture.put(bytes), { MPACK_BATCH_ROWS: "1" });
  const { db } = faultyDatabase(fixture.db, { at: 6, fault: "refused", times: Infinity });
  await assert.rejects(indexMpack({ ...options, db }), { code: "database-unavailable" });
  await fixture.db.sql`update musehub_background_jobs set lease_expires_at = now()`;
  const [{ checkpoint }] = await fixture.db.sql`select checkpoint from musehub_background_jobs`;
  assert.ok(checkpoint.offset_bytes > 100_000, "a checkpoint between deltas");
  const reasons: string[] = [];
  const result = await indexMpack({
    ...options,
    onStartOver: (reason) => void reasons.push(reason),
  });
  assert.match(reasons.join(), /builds upon .* the store is asked once more/);
  assert.deepEqual([result.snapshots_written, result.resumed_from_byte], [2, 0]);
});
