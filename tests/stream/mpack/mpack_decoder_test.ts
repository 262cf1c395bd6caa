import assert from "node:assert/strict";
import { InvalidMpackError } from "../../../src/errors.ts";
import { recordHasher } from "../../../src/hash/record_hash.ts";
import { objectIdsOf } from "../../../src/lib/object_columns.ts";
import { MpackDecoder } from "../../../src/stream/mpack/mpack_decoder.ts";
import { decodeChunks, decodeMpack, takeRows, throughJson } from "../../support/mpack/decode.ts";
import {
  buildMpack,
  concat,
  cut,
  header,
  map,
  mpackKey,
  object,
  raw,
} from "../../support/mpack/mpacks.ts";
import { snapshotRecord } from "../../support/history/records.ts";
import { acceptedPacks, HELLO, refusedPacks } from "../../support/mpack/rules.ts";
import { readWhole, type WholeRow } from "../../support/mpack/whole_document.ts";

const ID = mpackKey(HELLO);
const BARE = ID.slice("sha256:".length);
const SAMPLES = ["prefixed", "bare", "slim", "delta", "disordered", "every-bin-header"];

/** Every construct of the grammar in some 600 bytes. */
const RICH = buildMpack([
  ["commits", [{ a: 1, b: [1.5, -70_000, null], c: { "": true } }, {}]],
  ["heads", map([[1, 2], [null, 3], [-5, [[]]], [raw([0xd4, 1, 1]), HELLO], [HELLO, "é"]], 32)],
  ["objects", [
    object({ content: HELLO }),
    object({ content: new Uint8Array(0) }),
    map([["path", ["x"]], ["content", new Uint8Array(300)], ["object_id", BARE]]),
  ]],
  ["snapshots", [snapshotRecord({ "a/b": ID, c: BARE })]],
  ["tags", null],
]);

function sample(name: string): Uint8Array {
  return Deno.readFileSync(new URL(`../../corpus/samples/${name}.mpack`, import.meta.url));
}

function refusal(action: () => void): InvalidMpackError {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof InvalidMpackError);
    return error;
  }
  assert.fail("nothing was refused");
}

Deno.test("MpackDecoder accepts what the format allows", async (t) => {
  for (const { name, pack, rows } of acceptedPacks()) {
    await t.step(name, () => {
      const verdict = readWhole(pack);
      assert.ok(verdict.accepted);
      assert.equal(verdict.rows.length, rows);
      for (const chunkBytes of [1, 2, 7, pack.length]) {
        assert.deepEqual(decodeMpack(pack, { chunkBytes }), verdict);
      }
    });
  }
});

Deno.test("MpackDecoder names the first byte of the value that breaks a rule", async (t) => {
  for (const { code, name, pack, offsetBytes, limits } of refusedPacks()) {
    await t.step(`${code}: ${name}`, () => {
      for (const chunkBytes of [1, 2, 7, pack.length]) {
        const verdict = decodeMpack(pack, { chunkBytes, limits });
        assert.deepEqual(verdict, { accepted: false, code, offsetBytes });
      }
    });
  }
});

Deno.test("MpackDecoder says what is wrong, with numbers", () => {
  const pack = buildMpack({ objects: [object({ content: HELLO })] });
  const decoder = new MpackDecoder({ limits: { maxContentBytes: 4 } });
  assert.equal(
    refusal(() => decoder.write(pack)).message,
    "Cannot accept the pack: maxContentBytes is 4, this would be 5 at byte 102",
  );
});

Deno.test("MpackDecoder finds the same with chunks of any length", async (t) => {
  const expected = readWhole(RICH);
  assert.ok(expected.accepted && expected.rows.length === 3);
  await t.step("chunks of 1 byte to the whole pack", () => {
    for (let chunkBytes = 1; chunkBytes <= RICH.length; chunkBytes++) {
      assert.deepEqual(decodeMpack(RICH, { chunkBytes }), expected);
    }
  });
  await t.step("two chunks of any length, with empty chunks between", () => {
    for (let at = 0; at <= RICH.length; at++) {
      const chunks = [RICH.subarray(0, at), new Uint8Array(0), RICH.subarray(at)];
      assert.deepEqual(decodeChunks(chunks), expected);
    }
  });
  for (const name of SAMPLES) {
    await t.step(name, () => {
      const pack = sample(name);
      const verdict = readWhole(pack);
      assert.ok(verdict.accepted);
      for (const chunkBytes of [1, 13, 97, 256, 4096, pack.length]) {
        assert.deepEqual(decodeMpack(pack, { chunkBytes }), verdict);
      }
    });
  }
});

Deno.test("save() lets another decoder continue after any byte", async (t) => {
  const expected = readWhole(RICH);
  await t.step("two decoders", () => {
    const whole = new MpackDecoder();
    whole.write(RICH);
    for (let at = 0; at <= RICH.length; at++) {
      const first = new MpackDecoder();
      first.write(RICH.subarray(0, at));
      const rows: WholeRow[] = [];
      takeRows(first, rows);
      const state = first.save();
      assert.ok(state);
      const second = new MpackDecoder({ state: throughJson(state) });
      assert.equal(second.offsetBytes, at);
      second.write(RICH.subarray(at));
      second.end();
      takeRows(second, rows);
      assert.deepEqual({ accepted: true, rows, ...second.counts }, expected);
      const { sections, deepest, sortedUnique } = second;
      assert.deepEqual({ sections, deepest, sortedUnique }, {
        sections: whole.sections,
        deepest: whole.deepest,
        sortedUnique: whole.sortedUnique,
      });
    }
  });
  await t.step("a new decoder for every byte", () => {
    assert.deepEqual(decodeMpack(RICH, { chunkBytes: 1, resume: () => true }), expected);
  });
  await t.step("damage is found by the decoder that continues", () => {
    for (const { code, name, pack, offsetBytes, limits } of refusedPacks()) {
      const verdict = decodeMpack(pack, { chunkBytes: 1, limits, resume: () => true });
      assert.deepEqual(verdict, { accepted: false, code, offsetBytes }, name);
    }
  });
});

Deno.test("MpackDecoder throws the same error with chunks of any length", () => {
  for (const { name, pack, limits } of refusedPacks()) {
    const decode = (chunkBytes: number) => () => {
      const decoder = new MpackDecoder({ limits });
      for (const chunk of cut(pack, chunkBytes)) decoder.write(chunk);
      decoder.end();
    };
    const { code, message, offsetBytes } = refusal(decode(Math.max(1, pack.length)));
    for (const chunkBytes of [1, 2, 3, 31, 32, 33]) {
      const found = refusal(decode(chunkBytes));
      assert.deepEqual([found.code, found.message], [code, message], name);
      assert.equal(found.offsetBytes, offsetBytes, name);
    }
  }
});

Deno.test("save() returns a small record or undefined", () => {
  const decoder = new MpackDecoder();
  const keys = Array.from({ length: 9000 }, (_, i) => [i, 0] as const);
  const pack = buildMpack([["x", map(keys)], ["y", 0]]);
  let without = 0, largest = 0;
  for (const chunk of cut(pack, 1000)) {
    decoder.write(chunk);
    const state = decoder.save();
    if (state) largest = Math.max(largest, JSON.stringify(state).length);
    else without++;
  }
  assert.ok(without >= 1 && decoder.save() !== undefined);
  assert.ok(largest < 220_000, `${largest} characters`);
});

Deno.test("MpackDecoder refuses a state of another version", () => {
  const state = new MpackDecoder().save();
  assert.ok(state);
  assert.throws(() => new MpackDecoder({ state: { ...state, version: 99 } }), RangeError);
});

Deno.test("end() rejects every prefix of a valid pack as truncated", async (t) => {
  for (const [name, pack] of [["rich", RICH], ["delta", sample("delta")]] as const) {
    await t.step(name, () => {
      for (let sizeBytes = 0; sizeBytes < pack.length; sizeBytes++) {
        const decoder = new MpackDecoder();
        decoder.write(pack.subarray(0, sizeBytes));
        const { code, offsetBytes } = refusal(() => decoder.end());
        assert.deepEqual([code, offsetBytes], ["truncated", sizeBytes]);
      }
    });
  }
});

Deno.test("MpackDecoder agrees with the oracle on every pack damaged in one byte", () => {
  let accepted = 0;
  for (let at = 0; at < RICH.length; at++) {
    for (const byte of [RICH[at] ^ 1, RICH[at] ^ 0x80, RICH[at] + 1, 0, 0xc1, 0xdf, 0xff]) {
      const pack = RICH.slice();
      pack[at] = byte;
      const verdict = readWhole(pack);
      if (verdict.accepted) accepted++;
      assert.deepEqual(decodeMpack(pack), verdict, `byte ${at} is ${byte}`);
      assert.deepEqual(decodeMpack(pack, { chunkBytes: 5 }), verdict, `byte ${at} is ${byte}`);
    }
  }
  assert.ok(accepted > 0);
});

Deno.test("MpackDecoder passes a huge content on without keeping it", () => {
  const sizeBytes = 3_000_000;
  const pack = buildMpack({ objects: [object({ content: new Uint8Array(sizeBytes) })] });
  let calls = 0, bytes = 0, largestView = 0;
  const decoder = new MpackDecoder({
    hooks: {
      contentBytes(view) {
        calls++;
        bytes += view.length;
        largestView = Math.max(largestView, view.length);
      },
    },
  });
  let largestState = 0;
  for (let at = 0; at < pack.length; at++) {
    decoder.write(pack.subarray(at, at + 1));
    if (at % 100_000 === 0) {
      largestState = Math.max(largestState, JSON.stringify(decoder.save()).length);
    }
  }
  decoder.end();
  // At most one call per chunk: no byte was passed on twice.
  assert.equal(bytes, sizeBytes);
  assert.ok(calls <= sizeBytes && largestView <= 4096, `${calls} calls`);
  assert.ok(largestState < 2000, `${largestState} characters`);
});

Deno.test("MpackDecoder allocates nothing for a declared length", () => {
  const most = 2 ** 32 - 1;
  const headers = [
    header("map", most, 32),
    raw(header("map", 1), [0xa7], raw([...new TextEncoder().encode("objects")])),
  ];
  const parts = (last: Uint8Array) => concat([headers[1].bytes, header("array", 1).bytes, last]);
  const packs = [
    headers[0].bytes,
    concat([headers[1].bytes, header("array", most, 32).bytes]),
    parts(header("map", most, 32).bytes),
    parts(
      concat([
        raw([0x81, 0xa7]).bytes,
        new TextEncoder().encode("content"),
        header("bin", 2 ** 31, 32).bytes,
      ]),
    ),
    ...(["str", "bin", "array", "map"] as const).map((family) =>
      concat([raw([0x81, 0xa1, 0x78]).bytes, header(family, family < "c" ? 9 : 2 ** 25).bytes])
    ),
  ];
  const before = Deno.memoryUsage();
  const decoders = packs.flatMap((pack) =>
    Array.from({ length: 50 }, () => {
      const decoder = new MpackDecoder();
      decoder.write(pack);
      assert.equal(refusal(() => decoder.end()).code, "truncated");
      return decoder;
    })
  );
  const after = Deno.memoryUsage();
  const eachBytes = (after.heapTotal + after.external - before.heapTotal - before.external) /
    decoders.length;
  assert.ok(eachBytes < 100_000, `${eachBytes} bytes a decoder`);
});

Deno.test("MpackDecoder calls its hooks in the order of the pack", () => {
  const pack = buildMpack([
    ["objects", [
      object({ content: HELLO }),
      map([["content", new Uint8Array(0)], ["x", 1], ["object_id", BARE]]),
    ]],
    ["snapshots", [
      snapshotRecord({ a: ID, b: BARE }, { x: {} }),
      snapshotRecord({}),
      { snapshot_id: ID, parent_snapshot_id: ID, delta_add: { c: BARE } },
    ]],
  ]);
  for (const chunkBytes of [1, 3, pack.length]) {
    const heard: unknown[] = [];
    const decoder = new MpackDecoder({
      rows: false,
      history: recordHasher,
      hooks: {
        contentStart: (sizeBytes, offset) => heard.push(["start", sizeBytes, offset]),
        contentBytes: (bytes) => heard.push(new TextDecoder().decode(bytes)),
        object: (id, offset, sizeBytes) => heard.push([id, offset, sizeBytes]),
        manifestId: (id) => heard.push(id),
      },
    });
    for (const chunk of cut(pack, chunkBytes)) decoder.write(chunk);
    decoder.end();
    const pieces = cut(HELLO, chunkBytes).length;
    const texts = heard.splice(
      1,
      heard.findIndex((item) => item instanceof Array && item[0] === ID) - 1,
    );
    assert.equal(texts.join(""), "hello");
    assert.ok(texts.length <= pieces + 1);
    const verdict = readWhole(pack);
    assert.ok(verdict.accepted);
    const [hello, empty] = verdict.rows.map((row) => row.contentOffset);
    assert.deepEqual(heard, [
      ["start", 5, hello],
      [ID, hello, 5],
      ["start", 0, empty],
      [BARE, empty, 0],
      ID,
      BARE,
      BARE,
    ]);
    assert.equal(decoder.rowsReady, 0);
  }
});

Deno.test("MpackDecoder reports sections, depth and order", () => {
  const pack = buildMpack([["x", [[[]]]], ["objects", []], ["tags", [{}]]]);
  const decoder = new MpackDecoder();
  for (const chunk of cut(pack, 2)) decoder.write(chunk);
  assert.equal(decoder.deepest, 4);
  const names = decoder.sections.map((section) => section.name);
  assert.deepEqual(names, ["x", "objects", "tags"]);
  const spans = decoder.sections.map(({ offsetBytes, sizeBytes }) =>
    pack.subarray(offsetBytes, offsetBytes + sizeBytes).toHex()
  );
  assert.deepEqual(spans, ["919190", "90", "9180"]);
});

Deno.test("sortedUnique is true until an id is not greater than the last", () => {
  const content = HELLO, low = "0".repeat(64), high = "f".repeat(64);
  const cases: [string[], boolean][] = [
    [[], true],
    [[low], true],
    [[low, high], true],
    [[high, low], false],
    [[low, low], false],
    [[low, high, "sha256:" + low], true],
    [["sha256:" + low, high], false],
    [[low, high.slice(1) + "0", high], true],
  ];
  for (const [ids, expected] of cases) {
    const pack = buildMpack({ objects: ids.map((objectId) => object({ content, objectId })) });
    for (const chunkBytes of [1, 60, pack.length]) {
      const decoder = new MpackDecoder();
      for (const chunk of cut(pack, chunkBytes)) {
        decoder.write(chunk);
        if (chunkBytes === 60) decoder.take();
      }
      assert.equal(decoder.sortedUnique, expected, ids.join());
    }
  }
});

Deno.test("take() returns each row once, in the order of the pack", () => {
  const pack = buildMpack({
    objects: Array.from({ length: 20 }, (_, i) => object({ content: new Uint8Array(i) })),
  });
  const expected = readWhole(pack);
  assert.ok(expected.accepted);
  const decoder = new MpackDecoder(), rows: WholeRow[] = [];
  for (const chunk of cut(pack, 150)) {
    decoder.write(chunk);
    const ready = decoder.rowsReady, before = rows.length;
    takeRows(decoder, rows);
    assert.deepEqual([rows.length - before, decoder.rowsReady], [ready, 0]);
  }
  assert.deepEqual(rows, expected.rows);
});

Deno.test("take() gives the ids as one text, and objectIdsOf() one by one", () => {
  const hex = (i: number) => i.toString(16).padStart(64, "0");
  for (const count of [0, 1, 2, 50, 200]) {
    const ids = Array.from({ length: count }, (_, i) => i % 3 === 0 ? hex(i) : `sha256:${hex(i)}`);
    const objects = ids.map((objectId) => object({ content: HELLO, objectId }));
    // Two decoders at once: they must not share the bytes of ids.
    const decoders = [new MpackDecoder(), new MpackDecoder()];
    const found = decoders.map(() => [] as string[]);
    for (const chunk of cut(buildMpack({ objects }), 5000)) {
      for (const decoder of decoders) decoder.write(chunk);
      for (const [i, decoder] of decoders.entries()) {
        const rows = decoder.take();
        assert.equal(rows.length, rows.contentOffsets.length);
        const ids = objectIdsOf(rows);
        assert.deepEqual(ids, rows.length === 0 ? [] : rows.idsText.split(","));
        assert.equal(ids.length, rows.length);
        found[i].push(...ids);
      }
    }
    assert.deepEqual(found, [ids, ids]);
  }
});

Deno.test("MpackDecoder enforces maxPackBytes", () => {
  const valid = buildMpack({ objects: [object({ content: HELLO })] });
  const damaged = buildMpack({ objects: [object({ content: HELLO }), null] });
  for (const pack of [valid, damaged]) {
    for (let maxPackBytes = 0; maxPackBytes <= pack.length; maxPackBytes++) {
      const verdict = readWhole(pack, { maxPackBytes });
      for (const chunkBytes of [1, 7, pack.length]) {
        assert.deepEqual(decodeMpack(pack, { chunkBytes, limits: { maxPackBytes } }), verdict);
      }
    }
  }
  const verdict = decodeMpack(valid, { limits: { maxPackBytes: 99 } });
  assert.deepEqual(verdict, { accepted: false, code: "limit-exceeded", offsetBytes: 99 });
});

Deno.test("MpackDecoder accepts a pack that just reaches its limits", () => {
  const pack = buildMpack({ x: { abc: ["12345"] }, objects: [object({ content: HELLO })] });
  const limits = {
    maxObjects: 1,
    maxContentBytes: 5,
    maxDepth: 3,
    maxKeyBytes: 9,
    maxKeys: 2,
    maxValueBytes: 5,
    maxNodes: 4,
    maxOpenKeys: 4,
  };
  assert.ok(decodeMpack(pack, { limits }).accepted);
  for (const name of Object.keys(limits) as (keyof typeof limits)[]) {
    const tighter = { ...limits, [name]: limits[name] - 1 };
    const verdict = decodeMpack(pack, { limits: tighter });
    assert.ok(!verdict.accepted && verdict.code === "limit-exceeded", name);
    assert.deepEqual(verdict, readWhole(pack, tighter));
  }
});
