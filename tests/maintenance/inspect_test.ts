import assert from "node:assert/strict";
import { inspectMpack } from "../../src/maintenance/inspect.ts";
import type { MpackLimits } from "../../src/stream/mpack/limits.ts";
import type { BlobReader } from "../../src/stream/store/blob_store.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { snapshotIdOf, snapshotRecord } from "../support/history/records.ts";
import { buildMpack, mpackKey, object, type Value } from "../support/mpack/mpacks.ts";
import { mark, marked } from "../support/mpack/rules.ts";
import { readWhole } from "../support/mpack/whole_document.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const SAMPLES = new URL("../corpus/samples/", import.meta.url);
const MALICIOUS = new URL("../corpus/malicious/", import.meta.url);

interface Case {
  file: string;
  code: string | null;
  offset_bytes: number | null;
  limits?: Partial<MpackLimits>;
}

/** A reader over bytes in memory that hands them out a few at a time. */
function readerOf(bytes: Uint8Array, stepBytes = 1000): BlobReader {
  let at = 0;
  const close = () => Promise.resolve();
  return {
    stat: { sizeBytes: bytes.length, etag: "" },
    read(into) {
      const part = bytes.subarray(at, at += Math.min(into.length, stepBytes));
      into.set(part);
      return Promise.resolve(part.length);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

Deno.test("inspectMpack() counts what the facts of the samples count", async (t) => {
  for await (const { name } of Deno.readDir(SAMPLES)) {
    if (!name.endsWith(".mpack")) continue;
    await t.step(name, async () => {
      const bytes = await Deno.readFile(new URL(name, SAMPLES));
      const facts = JSON.parse(
        await Deno.readTextFile(new URL(name.replace(".mpack", ".facts.json"), SAMPLES)),
      );
      const report = await inspectMpack(readerOf(bytes), { isHashing: true });
      const whole = readWhole(bytes);
      assert(whole.accepted);
      assert.equal(report.mpack_key, facts.mpack_key);
      assert.equal(report.size_bytes, bytes.length);
      const { commits, snapshots, objects, tags } = facts;
      assert.deepEqual(report.counts, { commits, snapshots, objects, tags });
      assert.deepEqual(report.problems, []);
      const sizes = whole.rows.map(({ sizeBytes }) => sizeBytes);
      const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
      assert.equal(report.content_bytes, sum(sizes));
      assert.equal(sum(report.histogram.map(({ objects }) => objects)), objects);
      assert.equal(sum(report.histogram.map(({ bytes }) => bytes)), sum(sizes));
      for (const { from_bytes, to_bytes, objects } of report.histogram) {
        const inside = sizes.filter((size) => size >= from_bytes && size <= to_bytes);
        assert.equal(inside.length, objects);
      }
      const largest = sizes.sort((a, b) => b - a).slice(0, 10);
      assert.deepEqual(report.largest.map(({ size_bytes }) => size_bytes), largest);
      const end = report.sections.at(-1)!;
      assert.equal(end.offset_bytes + end.size_bytes, bytes.length);
    });
  }
});

Deno.test("inspectMpack() names the first problem, and still reads on for the key", async (t) => {
  const cases: Case[] = JSON.parse(
    await Deno.readTextFile(new URL("index.json", MALICIOUS)),
  );
  const bytes = buildMpack({ objects: [object({ content: sampleBytes(5000) })], tags: [] });
  await t.step("cut short", async () => {
    const report = await inspectMpack(readerOf(bytes.subarray(0, 4000)));
    assert.deepEqual(report.problems.map(({ code, offset_bytes }) => [code, offset_bytes]), [
      ["truncated", 4000],
    ]);
    assert.equal(report.is_valid, false);
    assert.deepEqual(report.sections, [{ name: "objects", offset_bytes: 9, size_bytes: 3991 }]);
  });
  await t.step("trailing", async () => {
    const longer = new Uint8Array(bytes.length + 3000);
    longer.set(bytes);
    const report = await inspectMpack(readerOf(longer));
    assert.equal(report.problems[0].code, "trailing-bytes");
    assert.equal(report.mpack_key, mpackKey(longer));
  });
  for (const { file, limits } of cases) {
    await t.step(file, async () => {
      const bytes = await Deno.readFile(new URL(file, MALICIOUS));
      const report = await inspectMpack(readerOf(bytes), { limits });
      const found = report.problems.map(({ code, offset_bytes }) => [code, offset_bytes]);
      // The records in these packs have no ids.
      const whole = readWhole(bytes, limits, { history: true });
      assert.deepEqual(found, whole.accepted ? [] : [[whole.code, whole.offsetBytes]]);
    });
  }
});

Deno.test("inspectMpack() verifies deltas within the mpack, and counts the others", async () => {
  const A = mpackKey(sampleBytes(1)), one = { a: A }, two = { a: A, b: A };
  const delta = {
    snapshot_id: snapshotIdOf(two),
    parent_snapshot_id: snapshotIdOf(one),
    delta_add: { b: A },
  };
  const inspect = async (...snapshots: Value[]) =>
    await inspectMpack(readerOf(buildMpack({ snapshots })));
  const right = await inspect(snapshotRecord(one), delta);
  assert.deepEqual([right.is_valid, right.problems, right.unverified_deltas], [true, [], 0]);
  const outside = await inspect(delta, { ...delta, delta_add: {} });
  assert.deepEqual([outside.is_valid, outside.problems, outside.unverified_deltas], [true, [], 2]);
  const false_ = { ...delta, delta_add: { b: A, c: A } };
  const { pack, offsetBytes } = marked(
    buildMpack({ snapshots: [snapshotRecord(one), mark(false_)] }),
  );
  for (const stepBytes of [7, 1000]) {
    const { is_valid, problems } = await inspectMpack(readerOf(pack, stepBytes));
    assert.equal(is_valid, false);
    const found = problems.map(({ code, offset_bytes }) => [code, offset_bytes]);
    assert.deepEqual(found, [["false-id", offsetBytes]]);
  }
});

Deno.test("inspectMpack() lists objects that lie about their id, when asked to hash", async () => {
  const lie = object({ content: sampleBytes(10), objectId: mpackKey(sampleBytes(11)) });
  const bytes = buildMpack({
    objects: [object({ content: sampleBytes(9) }), ...Array(120).fill(lie)],
  });
  const report = await inspectMpack(readerOf(bytes), { isHashing: true });
  assert.equal(report.problems_total, 120);
  assert.equal(report.problems.length, 100);
  const { code, offset_bytes } = report.problems[0];
  assert.equal(code, "object-mismatch");
  assert.deepEqual(bytes.slice(offset_bytes, offset_bytes! + 10), sampleBytes(10));
  assert.equal(report.is_valid, true);
  assert.deepEqual((await inspectMpack(readerOf(bytes))).problems, []);
});

Deno.test("mpackd inspect prints a report of a file without a database", async (t) => {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/a.mpack`;
  const bytes = buildMpack({ objects: [object({ content: sampleBytes(100) })] });
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", MAIN, "inspect", ...args],
      cwd: folder,
      env: { DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing", MPACK_STORE: "" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };
  await Deno.writeFile(file, bytes);
  await t.step("as text", async () => {
    const { code, stdout } = await run(file);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^${mpackKey(bytes)}\n`));
    assert.match(stdout, /Sections\n {2}"objects"/);
  });
  await t.step("as JSON, of a broken one", async () => {
    await Deno.writeFile(file, bytes.subarray(0, 50));
    const { code, stdout } = await run(file, "--json", "--largest", "3");
    assert.equal(code, 3);
    assert.equal(JSON.parse(stdout).problems[0].code, "truncated");
  });
  await t.step("of what is not there", async () => {
    const { code, stdout } = await run(`${folder}/none`, "--json");
    assert.equal(code, 2);
    assert.equal(JSON.parse(stdout).error.code, "config");
  });
  await t.step("of a key without its repo", async () => {
    // It is looked for in the database, which is not there.
    const { code, stderr } = await run(mpackKey(bytes));
    assert.deepEqual([code, /127\.0\.0\.1:1/.test(stderr)], [4, true], stderr);
  });
  await Deno.remove(folder, { recursive: true });
});
