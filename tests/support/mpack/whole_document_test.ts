import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { decode } from "@msgpack/msgpack";
import { makeMpack } from "../../../scripts/make_mpack.ts";
import { buildMpack, concat, header, mpackKey, object, raw } from "./mpacks.ts";
import { acceptedPacks, HELLO, refusedPacks } from "./rules.ts";
import { readWhole } from "./whole_document.ts";

const CORPUS = new URL("../../../../shared/corpus/", import.meta.url);
const PACKS = ["synth.prefixed", "synth.bare", "synth-slim.prefixed", "synth-fetch.prefixed"]
  .concat("synth-delta.prefixed");

const ID = mpackKey(HELLO);

Deno.test({
  name: "readWhole() finds in real packs what their facts list",
  ignore: !existsSync(CORPUS),
  async fn(t) {
    for (const name of PACKS) {
      await t.step(name, async () => {
        const bytes = await Deno.readFile(new URL(`${name}.mpack`, CORPUS));
        const facts = JSON.parse(await Deno.readTextFile(new URL(`${name}.facts.json`, CORPUS)));
        const tsv = await Deno.readTextFile(new URL(`${name}.objects.tsv`, CORPUS));
        const verdict = readWhole(bytes);
        assert.ok(verdict.accepted);
        const { rows, accepted: _, ...counts } = verdict;
        const { commits, snapshots, objects, tags } = facts;
        assert.deepEqual(counts, { commits, snapshots, objects, tags });
        const lines = rows.map((row) =>
          `${row.objectId}\t${row.contentOffset}\t${row.sizeBytes}\n`
        );
        assert.equal(lines.join(""), tsv);
        assert.equal(mpackKey(bytes), facts.mpack_key);
      });
    }
  },
});

Deno.test("readWhole() finds what another decoder finds in a generated pack", async () => {
  const chunks = [];
  for await (const chunk of makeMpack({ objects: 300, tags: 3, snapshots: 5 })) chunks.push(chunk);
  const bytes = concat(chunks);
  const pack = decode(bytes) as Record<string, { object_id: string; content: Uint8Array }[]>;
  const verdict = readWhole(bytes);
  assert.ok(verdict.accepted);
  assert.deepEqual(
    verdict.rows,
    pack.objects.map(({ object_id, content }) => ({
      objectId: object_id,
      // What it decoded are views into the pack.
      contentOffset: content.byteOffset - bytes.byteOffset,
      sizeBytes: content.length,
    })),
  );
  assert.deepEqual([verdict.commits, verdict.snapshots, verdict.tags], [10, 5, 3]);
});

Deno.test("readWhole() accepts what the format allows", async (t) => {
  for (const { name, pack, rows } of acceptedPacks()) {
    await t.step(name, () => {
      const verdict = readWhole(pack);
      assert.ok(verdict.accepted, JSON.stringify(verdict));
      assert.equal(verdict.rows.length, rows);
      for (const { contentOffset, sizeBytes } of verdict.rows) {
        const content = pack.subarray(contentOffset, contentOffset + sizeBytes);
        assert.ok(sizeBytes === 0 || mpackKey(content) === ID);
      }
    });
  }
});

Deno.test("readWhole() blames the first byte of what breaks a rule", async (t) => {
  for (const { code, name, pack, offsetBytes, limits } of refusedPacks()) {
    await t.step(`${code}: ${name}`, () => {
      assert.deepEqual(readWhole(pack, limits), { accepted: false, code, offsetBytes });
    });
  }
});

Deno.test("readWhole() calls every beginning of a valid pack truncated", () => {
  const nested = { x: [{ k: [1.5, 300, "s", HELLO, null] }], y: raw([0xd8, ...Array(17).fill(3)]) };
  const pack = buildMpack({ commits: [nested], objects: [object({ content: HELLO })], tags: null });
  assert.ok(readWhole(pack).accepted);
  for (let sizeBytes = 0; sizeBytes < pack.length; sizeBytes++) {
    const verdict = { accepted: false, code: "truncated", offsetBytes: sizeBytes };
    assert.deepEqual(readWhole(pack.subarray(0, sizeBytes)), verdict);
  }
});

Deno.test("readWhole() finds a wrong declared count only when nothing follows", () => {
  for (const family of ["array", "map", "str", "bin"] as const) {
    const pack = buildMpack({ commits: [{ x: header(family, 2 ** 24) }] });
    const verdict = { accepted: false, code: "truncated", offsetBytes: pack.length };
    assert.deepEqual(readWhole(pack), verdict);
  }
});
