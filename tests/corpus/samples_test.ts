import assert from "node:assert/strict";
import { makeSample, type SampleFacts, SAMPLES } from "./make_samples.ts";
import { mpackKey } from "../support/mpack/mpacks.ts";
import { readWhole } from "../support/mpack/whole_document.ts";

const FOLDER = new URL("samples/", import.meta.url);

Deno.test("every committed sample is what its facts say, and what the generator makes", async (t) => {
  for (const [name, shape] of Object.entries(SAMPLES)) {
    await t.step(name, async () => {
      const bytes = await Deno.readFile(new URL(`${name}.mpack`, FOLDER));
      const facts: SampleFacts = JSON.parse(
        await Deno.readTextFile(new URL(`${name}.facts.json`, FOLDER)),
      );
      const verdict = readWhole(bytes);
      assert.ok(verdict.accepted);
      const { commits, snapshots, objects, tags } = verdict;
      assert.deepEqual({ commits, snapshots, objects, tags }, {
        commits: facts.commits,
        snapshots: facts.snapshots,
        objects: facts.objects,
        tags: facts.tags,
      });
      const rows = verdict.rows.map((row) => [row.objectId, row.contentOffset, row.sizeBytes]);
      assert.deepEqual(rows, facts.rows);
      assert.equal(mpackKey(bytes), facts.mpack_key);
      const made = await makeSample(shape);
      assert.deepEqual(made.bytes, bytes);
      assert.deepEqual(made.facts, facts);
    });
  }
});
