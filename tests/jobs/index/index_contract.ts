/**
 * Contract: what indexing finds in real packs, from any store.
 *
 * @module
 */
import assert from "node:assert/strict";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { corpusPacks } from "../../support/mpack/corpus.ts";
import { readWhole } from "../../support/mpack/whole_document.ts";
import type { TestFixture } from "../../support/process/fixture.ts";

/** Indexes the committed samples, and the corpus if it is there, each in its own fixture. */
export function testIndexOfPacks(
  store: string,
  open: () => Promise<TestFixture>,
  options: { ignore?: boolean } = {},
): void {
  const test = (title: string, fn: (t: Deno.TestContext) => Promise<void>) =>
    Deno.test({ name: `indexMpack() from ${store} ${title}`, fn, ignore: options.ignore ?? false });

  test("finds in real packs what their facts say, and nothing new the second time", async (t) => {
    const packs = await corpusPacks();
    assert.ok(packs.length >= 5);
    for (const { name, bytes, facts } of packs) {
      await t.step(name, async () => {
        await using fixture = await open();
        const { db, repo } = fixture;
        const key = await fixture.put(bytes);
        assert.equal(key, facts.mpack_key);
        const first = await indexMpack(fixture.options(key, { MPACK_BATCH_ROWS: "37" }));
        const { commits, snapshots, tags } = facts;
        assert.deepEqual(
          {
            commits: first.commits,
            snapshots: first.snapshots,
            tags: first.tags,
            objects: first.objects_total,
            size_bytes: first.size_bytes,
            hashed_bytes: first.hashed_bytes,
          },
          {
            commits,
            snapshots,
            tags,
            objects: facts.objects,
            size_bytes: facts.size_bytes,
            hashed_bytes: facts.size_bytes,
          },
        );
        assert.equal(first.objects_written, facts.objects);
        assert.equal(first.object_refs_written, facts.objects);
        const whole = readWhole(bytes);
        assert.ok(whole.accepted);
        const rows = await db.sql`
        select object_id, content_offset, size_bytes from musehub_object_refs
        where repo_id = ${repo.repoId} order by content_offset`;
        assert.deepEqual(
          rows.map((row) => ({ ...row })),
          whole.rows.map((row) => ({
            object_id: row.objectId,
            content_offset: row.contentOffset,
            size_bytes: row.sizeBytes,
          })),
        );
        const before = await fixture.dump();
        const second = await indexMpack(fixture.options(key));
        assert.equal(second.objects_written, 0);
        assert.equal(second.object_refs_written, 0);
        assert.equal(second.objects_total, facts.objects);
        assert.equal(await fixture.dump(), before);
        assert.equal(await fixture.staged(), 0);
      });
    }
  });

  test("writes the rows of the corpus line for line as its .objects.tsv", async (t) => {
    for (const { name, bytes, rowsText } of await corpusPacks()) {
      await t.step({
        name,
        // The samples have none: their rows are compared with the whole-document reader's above.
        ignore: rowsText === undefined,
        async fn() {
          await using fixture = await open();
          await indexMpack(fixture.options(await fixture.put(bytes)));
          const rows = await fixture.db.sql`
            select object_id, content_offset, size_bytes from musehub_object_refs
            order by content_offset`;
          const found = rows.map((row) =>
            `${row.object_id}\t${row.content_offset}\t${row.size_bytes}\n`
          );
          assert.equal(found.join(""), rowsText);
        },
      });
    }
  });
}
