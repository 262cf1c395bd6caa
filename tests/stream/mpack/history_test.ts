import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { decode } from "@msgpack/msgpack";
import { recordHasher } from "../../../src/hash/record_hash.ts";
import type { PackRecords, RecordLocation } from "../../../src/lib/records.ts";
import { MpackDecoder } from "../../../src/stream/mpack/mpack_decoder.ts";
import { snapshotRecord } from "../../support/history/records.ts";
import { buildMpack, cut, map, Raw, type Value } from "../../support/mpack/mpacks.ts";
import { decodeChunks, decodeMpack } from "../../support/mpack/decode.ts";
import { acceptedHistories, refusedHistories } from "../../support/mpack/history_rules.ts";
import { readWhole } from "../../support/mpack/whole_document.ts";
import { corpusPacks } from "../../support/mpack/corpus.ts";

interface Parts {
  commits: PackRecords["commits"][number][];
  snapshots: PackRecords["snapshots"][number][];
  tags: PackRecords["tags"][number][];
  branchHeads: PackRecords["branchHeads"][number][];
}

function readRecords(pack: Uint8Array, chunkBytes: number): Parts {
  const decoder = new MpackDecoder({ history: recordHasher });
  const found: Parts = { commits: [], snapshots: [], tags: [], branchHeads: [] };
  for (const chunk of cut(pack, chunkBytes)) {
    decoder.write(chunk);
    const { commits, snapshots, tags, branchHeads } = decoder.takeRecords();
    found.commits.push(...commits);
    found.snapshots.push(...snapshots);
    found.tags.push(...tags);
    found.branchHeads.push(...branchHeads);
  }
  decoder.end();
  return found;
}

/** What another decoder makes of the bytes at this place. */
function recordAt(pack: Uint8Array, { offsetBytes, sizeBytes }: RecordLocation): unknown {
  return decode(pack.subarray(offsetBytes, offsetBytes + sizeBytes));
}

// deno-lint-ignore no-explicit-any
type Any = any;

/** The records as another decoder reads them, in the fields of ours but for their locations. */
function expectedOf(pack: Uint8Array) {
  const { commits = [], snapshots = [], tags, branch_heads } = decode(pack) as Any;
  return {
    commits: commits.map((commit: Any) => ({
      commitId: commit.commit_id,
      parentIds: [commit.parent_commit_id, commit.parent2_commit_id].filter((id) => id !== null),
      snapshotId: commit.snapshot_id,
      author: commit.author,
      committedAt: commit.committed_at,
      message: commit.message,
      metadata: commit.metadata,
      reviewedBy: commit.reviewed_by,
      testRuns: commit.test_runs,
    })),
    snapshots: snapshots.map(({ snapshot_id, manifest }: Any) => ({
      snapshotId: snapshot_id,
      entries: Object.keys(manifest).length,
      parentSnapshotId: null,
      isVerifiable: true,
    })),
    tags: (tags ?? []).map(({ tag_id, tag, commit_id, created_at }: Any) => ({
      tagId: tag_id,
      tag,
      commitId: commit_id,
      createdAt: created_at,
    })),
    branchHeads: Object.entries(branch_heads ?? {}).map(([name, commitId]) => ({ name, commitId })),
  };
}

function assertRecords(pack: Uint8Array, found: Parts): void {
  const raw = decode(pack) as Any;
  for (const [i, commit] of found.commits.entries()) {
    assert.deepEqual(recordAt(pack, commit), raw.commits[i]);
  }
  for (const [i, snapshot] of found.snapshots.entries()) {
    assert.deepEqual(recordAt(pack, snapshot), raw.snapshots[i]);
  }
  const unplaced = ({ offsetBytes: _, sizeBytes: __, ...fields }: RecordLocation) => fields;
  const { commits, snapshots } = found;
  assert.deepEqual(
    { ...found, commits: commits.map(unplaced), snapshots: snapshots.map(unplaced) },
    expectedOf(pack),
  );
}

Deno.test("MpackDecoder verifies and locates every record of real packs", async (t) => {
  for (const { name, bytes } of await corpusPacks()) {
    await t.step(name, () => {
      for (const chunkBytes of [61, 4096, bytes.length]) {
        assertRecords(bytes, readRecords(bytes, chunkBytes));
      }
    });
  }
});

const WIRE = new URL("../../../../shared/wire/", import.meta.url);

Deno.test({
  name: "MpackDecoder verifies every record that a real client sent or took",
  ignore: !existsSync(WIRE),
  fn() {
    let commits = 0;
    for (const { name } of Deno.readDirSync(WIRE)) {
      const bytes = name.endsWith(".jsonl") ? undefined : Deno.readFileSync(new URL(name, WIRE));
      // The value of `bundle` is a pack, complete in itself; so is the answer of a fetch.
      const pack = name.endsWith("push.request") ? bundleOf(bytes!) : bytes!;
      if (!/push\.request$|fetch\.answer$/.test(name)) continue;
      for (const chunkBytes of [1, pack.length]) {
        const found = readRecords(pack, chunkBytes);
        assertRecords(pack, found);
        commits += found.commits.length;
      }
    }
    assert.ok(commits > 20, `${commits} commits`);
  },
});

/** The bytes of `bundle`, which the client writes first. */
function bundleOf(body: Uint8Array): Uint8Array {
  const at = 1 + 1 + "bundle".length;
  assert.equal(new TextDecoder().decode(body.subarray(2, at)), "bundle");
  const { bundle } = decode(body) as { bundle: object };
  for (let end = body.length; end > at; end--) {
    try {
      const found = decode(body.subarray(at, end));
      assert.deepEqual(found, bundle);
      return body.subarray(at, end);
    } catch {
      // Bytes of what follows.
    }
  }
  assert.fail("no bundle");
}

Deno.test("MpackDecoder accepts what the format allows in records", async (t) => {
  for (const { name, pack } of acceptedHistories()) {
    await t.step(name, () => {
      const verdict = readWhole(pack, {}, { history: true });
      assert.ok(verdict.accepted, JSON.stringify(verdict));
      for (const chunkBytes of [1, 2, 7, 100, pack.length]) {
        assert.deepEqual(decodeMpack(pack, { chunkBytes, history: true }), verdict);
        const resumed = { chunkBytes, history: true, resume: () => true };
        assert.deepEqual(decodeMpack(pack, resumed), verdict);
      }
    });
  }
});

Deno.test("MpackDecoder names the first byte of what is wrong with a record", async (t) => {
  for (const { code, name, pack, offsetBytes, limits } of refusedHistories()) {
    await t.step(`${code}: ${name}`, () => {
      const verdict = { accepted: false, code, offsetBytes };
      assert.deepEqual(readWhole(pack, limits, { history: true }), verdict);
      for (const chunkBytes of [1, 2, 7, pack.length]) {
        assert.deepEqual(decodeMpack(pack, { chunkBytes, limits, history: true }), verdict);
      }
      const resumed = { chunkBytes: 1, limits, history: true, resume: () => true };
      assert.deepEqual(decodeMpack(pack, resumed), verdict);
    });
  }
});

/** A pack with every construct in some thousand bytes. */
function richPack(): Uint8Array {
  const accepted = acceptedHistories().filter(({ pack }) => pack.length < 460);
  const sections: Record<string, Value[]> = { commits: [], snapshots: [], tags: [] };
  for (const { pack } of accepted) {
    const decoder = new MpackDecoder();
    decoder.write(pack);
    for (const { name, offsetBytes, sizeBytes } of decoder.sections) {
      // The elements without the array's header, which is one byte.
      const section = sections[name];
      const isArray = (pack[offsetBytes] & 0xf0) === 0x90;
      if (!section || !isArray || pack[offsetBytes] === 0x90) continue;
      const count = pack[offsetBytes] & 0x0f;
      const elements = pack.subarray(offsetBytes + 1, offsetBytes + sizeBytes);
      section.push(new Raw(elements), ...Array.from({ length: count - 1 }, () => NOTHING));
    }
  }
  return buildMpack({ ...sections, branch_heads: { main: `sha256:${"0".repeat(64)}` } });
}

/** Counts as an element whose bytes are part of the one before. */
const NOTHING = new Raw(new Uint8Array(0));

Deno.test("MpackDecoder reads the same records wherever the pack is cut or the decoder replaced", () => {
  const pack = richPack();
  const verdict = readWhole(pack, {}, { history: true });
  assert.ok(
    verdict.accepted && verdict.commits >= 3 && verdict.snapshots > 5,
    JSON.stringify(verdict),
  );
  for (let at = 0; at <= pack.length; at++) {
    const chunks = [pack.subarray(0, at), pack.subarray(at)];
    const found = decodeChunks(chunks, { history: true, resume: () => true });
    assert.deepEqual(found, verdict);
  }
});

Deno.test("end() rejects every prefix of a history as truncated", () => {
  const pack = richPack();
  for (let sizeBytes = 0; sizeBytes < pack.length; sizeBytes++) {
    const verdict = { accepted: false, code: "truncated", offsetBytes: sizeBytes };
    assert.deepEqual(decodeMpack(pack.subarray(0, sizeBytes), { history: true }), verdict);
  }
});

Deno.test("MpackDecoder agrees with the oracle on every history damaged in one byte", () => {
  const pack = richPack();
  for (let at = 0; at < pack.length; at++) {
    const damaged = pack.slice();
    damaged[at] = [pack[at] ^ 1, pack[at] ^ 0x80, 0x2f, 0xc0][at % 4];
    const verdict = readWhole(damaged, {}, { history: true });
    assert.deepEqual(decodeMpack(damaged, { history: true }), verdict, `byte ${at}`);
  }
});

Deno.test("MpackDecoder reads a sorted manifest of any length, and saves its state inside it", () => {
  const paths = Array.from({ length: 3000 }, (_, i) => `folder/${String(i).padStart(6, "0")}`);
  const objectId = `sha256:${"ab".repeat(32)}`;
  const manifest = Object.fromEntries(paths.map((path) => [path, objectId]));
  const pack = buildMpack({ snapshots: [snapshotRecord(manifest)] });
  const limits = { maxUnsortedManifestBytes: 100_000 };
  const verdict = readWhole(pack, limits, { history: true });
  assert.ok(verdict.accepted);
  for (const chunkBytes of [501, 4096, 70_000, pack.length]) {
    const options = { chunkBytes, limits, history: true };
    assert.deepEqual(decodeMpack(pack, options), verdict);
    let states = 0;
    const onChunk = (decoder: MpackDecoder) => states += decoder.save() ? 1 : 0;
    assert.deepEqual(decodeMpack(pack, { ...options, resume: () => true, onChunk }), verdict);
    if (chunkBytes < 5000) assert.ok(states > 0.8 * pack.length / chunkBytes, `${states} states`);
  }
  // A path out of order after so many: it is not known whether it came before.
  const [first, ...others] = Object.entries<Value>(manifest);
  const unsorted = snapshotRecord(manifest, { manifest: map([...others, first]) });
  const refused = readWhole(buildMpack({ snapshots: [unsorted] }), limits, { history: true });
  assert.ok(!refused.accepted && refused.code === "limit-exceeded");
  const found = decodeMpack(buildMpack({ snapshots: [unsorted] }), { limits, history: true });
  assert.deepEqual(found, refused);
  assert.ok(decodeMpack(buildMpack({ snapshots: [unsorted] }), { history: true }).accepted);
});
