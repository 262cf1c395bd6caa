import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { decode } from "@msgpack/msgpack";
import { recordHasher } from "../../../src/hash/record_hash.ts";
import type { PackRecords, RecordLocation } from "../../../src/lib/records.ts";
import { MpackDecoder } from "../../../src/stream/mpack/mpack_decoder.ts";
import { cut } from "../../support/mpack/mpacks.ts";
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
type Record = any;

/** The records as another decoder reads them, in the fields of ours but for their locations. */
function expectedOf(pack: Uint8Array) {
  const { commits = [], snapshots = [], tags, branch_heads } = decode(pack) as Record;
  return {
    commits: commits.map((commit: Record) => ({
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
    snapshots: snapshots.map(({ snapshot_id, manifest }: Record) => ({
      snapshotId: snapshot_id,
      entries: Object.keys(manifest).length,
      parentSnapshotId: null,
      isVerifiable: true,
    })),
    tags: (tags ?? []).map(({ tag_id, tag, commit_id, created_at }: Record) => ({
      tagId: tag_id,
      tag,
      commitId: commit_id,
      createdAt: created_at,
    })),
    branchHeads: Object.entries(branch_heads ?? {}).map(([name, commitId]) => ({ name, commitId })),
  };
}

function assertRecords(pack: Uint8Array, found: Parts): void {
  const raw = decode(pack) as Record;
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
