import assert from "node:assert/strict";
import { isLocal, RecentReads } from "../../../src/stream/store/folder/recent_reads.ts";

Deno.test("RecentReads has what was read a moment ago", async (t) => {
  let nowMs = 1_000;
  const recent = new RecentReads(() => nowMs);
  await t.step("nothing before the first read", () => assert.equal(recent.has(0, 1), false));
  await t.step("what was read, its beginning, and nothing else of the file", () => {
    recent.add(70_000, 4096);
    assert.equal(recent.has(70_000, 4096), true);
    assert.equal(recent.has(70_000, 100), true);
    assert.equal(recent.has(70_000, 4097), false);
    assert.equal(recent.has(70_001, 100), false);
    assert.equal(recent.has(65_536, 100), false);
  });
  await t.step("nothing that is longer than 64 KiB", () => {
    recent.add(0, 65_536);
    assert.equal(recent.has(0, 65_536), true);
    recent.add(1, 65_537);
    assert.equal(recent.has(1, 65_537), false);
  });
  await t.step("nothing that was read ten seconds ago, unless it was read again since", () => {
    nowMs += 9_999;
    assert.equal(recent.has(70_000, 4096), true);
    assert.equal(recent.has(0, 100), true);
    nowMs += 1;
    assert.equal(recent.has(70_000, 4096), true);
    assert.equal(recent.has(0, 65_536), false, "only its beginning was");
  });
  await t.step("the 4,096 newest parts", () => {
    for (let at = 0; at < 4_096; at++) recent.add(100_000 + at, 1);
    assert.equal(recent.has(70_000, 4096), false);
    assert.equal(recent.has(100_000, 1), true);
    recent.add(200_000, 1);
    assert.equal(recent.has(100_000, 1), false);
    assert.equal(recent.has(100_001, 1), true);
    assert.equal(recent.has(200_000, 1), true);
  });
});

Deno.test("isLocal() takes a file system that it does not know for one on a network", () => {
  assert.equal(isLocal(0xef53), true);
  // NFS, SMB, Ceph, FUSE.
  for (const type of [0x6969, 0xff534d42, 0x00c36400, 0x65735546, 0]) {
    assert.equal(isLocal(type), false);
  }
});
