import assert from "node:assert/strict";
import { RecentManifests } from "../../../src/stream/mpack/history/recent_manifests.ts";
import { seeded } from "../../support/history/random_graph.ts";

Deno.test("RecentManifests keeps copies, the latest within its bytes, and mixes none up", () => {
  const maxBytes = 10_000, random = seeded(5), manifests = new RecentManifests(maxBytes);
  manifests.expectDeltas();
  // One buffer for all, as the decoder has.
  const buffer = new Uint8Array(4_000);
  const added: { id: string; fill: number; sizeBytes: number }[] = [];
  for (let n = 0; n < 2_000; n++) {
    const id = n % 7 === 6 ? added[Math.floor(random() * added.length)].id : `sha256:${n}`;
    const sizeBytes = Math.floor(random() ** 3 * 4_000), fill = n % 251;
    manifests.add(id, buffer.subarray(0, sizeBytes).fill(fill));
    const before = added.findIndex((one) => one.id === id);
    if (before >= 0) added.splice(before, 1);
    added.push({ id, fill, sizeBytes });
    const kept = added.map((one) => ({ ...one, found: manifests.get(one.id) }))
      .filter(({ found }) => found !== undefined);
    for (const { fill, sizeBytes, found } of kept) {
      assert.equal(found!.length, sizeBytes);
      assert(found!.every((byte) => byte === fill));
    }
    assert.equal(kept.at(-1)?.id, id, "the latest is among them");
    assert(kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) <= maxBytes);
    assert.deepEqual(kept.map(({ id }) => id), added.slice(-kept.length).map(({ id }) => id));
  }
  manifests.add("sha256:large", new Uint8Array(maxBytes + 1));
  assert.equal(manifests.get("sha256:large"), undefined);
});
