import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Decoder, encode, ExtensionCodec } from "@msgpack/msgpack";
import fc from "fast-check";
import suite from "msgpack-test-suite" with { type: "json" };
import { MpackDecoder } from "../../../src/stream/mpack/mpack_decoder.ts";
import { decodeChunks, decodeMpack } from "../../support/mpack/decode.ts";
import {
  array,
  bin,
  buildMpack,
  bytesOf,
  concat,
  header,
  map,
  Raw,
  str,
  type Value,
} from "../../support/mpack/mpacks.ts";
import { readWhole } from "../../support/mpack/whole_document.ts";

const RUNS = { numRuns: 1000 };

/** Any value that msgpack can hold, each header in any width that fits. */
const ANY: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom<Value>(null, true, false),
    fc.integer(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.double(),
    fc.float().map((number) => {
      const bytes = new Uint8Array(5);
      new DataView(bytes.buffer).setFloat32(1, number);
      bytes[0] = 0xca;
      return new Raw(bytes);
    }),
    fc.tuple(fc.string({ unit: "grapheme" }), fc.constantFrom(8, 16, 32, undefined)).map(
      ([text, width]) => str(text, width as 8),
    ),
    fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(16, 32, undefined)).map(
      ([bytes, width]) => bin(bytes, width as 16),
    ),
    extension(),
    fc.tuple(fc.array(tie("value"), { maxLength: 5 }), fc.constantFrom(16, 32, undefined)).map(
      ([items, width]) => array(items, width as 16),
    ),
    mapOf(tie("value")),
  ),
})).value;

function extension(): fc.Arbitrary<Raw> {
  const parts = fc.record({
    type: fc.nat(255),
    body: fc.uint8Array({ maxLength: 20 }),
    width: fc.constantFrom(0, 1, 2),
  });
  return parts.map(({ type, body, width }) => {
    const fixed = [1, 2, 4, 8, 16].indexOf(body.length);
    if (width === 0 && fixed >= 0) return new Raw(Uint8Array.of(0xd4 + fixed, type, ...body));
    const length = [[body.length], [0, body.length], [0, 0, 0, body.length]][width];
    return new Raw(Uint8Array.of(0xc7 + width, ...length, type, ...body));
  });
}

function mapOf(value: fc.Arbitrary<Value>): fc.Arbitrary<Raw> {
  const key = fc.oneof(fc.string({ maxLength: 8 }), fc.integer(), fc.constant("__proto__"));
  const pairs = fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 5 });
  return fc.tuple(pairs, fc.constantFrom(16, 32, undefined)).map(
    ([pairs, width]) => map(pairs, width as 16),
  );
}

const HEX_ID = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytes.toHex());
const CONTENT = fc.tuple(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(16, 32, undefined))
  .map(([bytes, width]) => ({ bytes, value: bin(bytes, width as 16) }));

interface Built {
  readonly id: string;
  readonly content: Uint8Array;
  readonly value: Raw;
}

/** An object with its keys in any order, sometimes with other keys between. */
const OBJECT: fc.Arbitrary<Built> = fc.record({
  hex: HEX_ID,
  isBare: fc.boolean(),
  content: CONTENT,
  extras: fc.uniqueArray(fc.tuple(fc.constantFrom("path", "x", "", "mode"), ANY), {
    selector: ([name]) => name,
    maxLength: 2,
  }),
  order: fc.nat(),
  width: fc.constantFrom<[8 | 16 | undefined]>([undefined], [8], [16]),
}).map(({ hex, isBare, content, extras, order, width: [width] }) => {
  const id = isBare ? hex : `sha256:${hex}`;
  const pairs: [Value, Value][] = [...extras];
  pairs.splice(order % (pairs.length + 1), 0, [str("content", width), content.value]);
  pairs.splice(Math.floor(order / 7) % (pairs.length + 1), 0, [str("object_id", width), id]);
  return { id, content: content.bytes, value: map(pairs, width === 8 ? undefined : width) };
});

/** A pack with its sections in any order, and the objects it holds. */
const PACK = fc.record({
  objects: fc.array(OBJECT, { maxLength: 6 }),
  records: fc.record({
    commits: fc.array(mapOf(ANY), { maxLength: 3 }),
    snapshots: fc.array(mapOf(ANY), { maxLength: 3 }),
    tags: fc.constantFrom<Value>(null, []),
    other: ANY,
  }, { requiredKeys: [] }),
  at: fc.nat(4),
}).map(({ objects, records, at }) => {
  const pairs: [Value, Value][] = Object.entries(records as Record<string, Value>);
  pairs.splice(Math.min(at, pairs.length), 0, ["objects", objects.map(({ value }) => value)]);
  return { bytes: buildMpack(pairs), objects };
});

/** Cuts at these places, in thousandths of the whole. */
const CUTS = fc.array(fc.nat(1000), { maxLength: 12 });
function cutAt(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => Math.floor(cut * bytes.length / 1000)), bytes.length];
  places.sort((a, b) => a - b);
  return places.slice(1).map((place, i) => bytes.subarray(places[i], place));
}

Deno.test("MpackDecoder finds in random packs what was put in, and what the oracle finds", () => {
  fc.assert(
    fc.property(PACK, CUTS, fc.boolean(), ({ bytes, objects }, cuts, resumes) => {
      const expected = readWhole(bytes);
      assert.ok(expected.accepted, JSON.stringify(expected));
      assert.deepEqual(decodeChunks(cutAt(bytes, cuts), { resume: () => resumes }), expected);
      assert.deepEqual(expected.rows.map(({ objectId }) => objectId), objects.map(({ id }) => id));
      for (const [i, { contentOffset, sizeBytes }] of expected.rows.entries()) {
        const content = bytes.subarray(contentOffset, contentOffset + sizeBytes);
        assert.deepEqual(content, objects[i].content);
      }
    }),
    RUNS,
  );
});

Deno.test("MpackDecoder locates what @msgpack/msgpack decodes", () => {
  const plain = fc.record({
    objects: fc.array(
      fc.record({ object_id: HEX_ID, content: fc.uint8Array({ maxLength: 70_000 }) }),
      { maxLength: 5 },
    ),
    commits: fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 3 }),
    other: fc.jsonValue(),
  });
  const peer = new Decoder({ useBigInt64: true, mapKeyConverter: (key) => key as string });
  fc.assert(
    fc.property(plain, CUTS, (document, cuts) => {
      fc.pre(!JSON.stringify(document).includes("__proto__"));
      const bytes = encode(document);
      const decoded = peer.decode(bytes) as typeof document;
      const verdict = decodeChunks(cutAt(bytes, cuts));
      assert.ok(verdict.accepted);
      const rows = decoded.objects.map(({ object_id, content }) => ({
        objectId: object_id,
        contentOffset: content.byteOffset - bytes.byteOffset,
        sizeBytes: content.length,
      }));
      assert.deepEqual(verdict.rows, rows);
      assert.deepEqual([verdict.commits, verdict.objects], [decoded.commits.length, rows.length]);
    }),
    { numRuns: 300 },
  );
});

Deno.test("MpackDecoder ends each value where @msgpack/msgpack does", () => {
  const extensionCodec = new ExtensionCodec();
  // The peer accepts timestamps of three lengths only; the decoder takes any extension.
  extensionCodec.register({ type: -1, encode: () => null, decode: (bytes) => bytes });
  const peer = new Decoder({ useBigInt64: true, mapKeyConverter: String, extensionCodec });
  fc.assert(
    fc.property(ANY, (value) => {
      const pack = buildMpack([["x", value], ["y", 1]]);
      fc.pre(!Buffer.from(pack).includes("__proto__"));
      peer.decode(pack);
      const decoder = new MpackDecoder();
      decoder.write(pack);
      decoder.end();
      assert.equal(decoder.sections[0].sizeBytes, bytesOf(value).length);
    }),
    RUNS,
  );
});

Deno.test("MpackDecoder agrees with the oracle on random bytes after a valid beginning", () => {
  const tail = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(PACK, fc.nat(), tail, CUTS, ({ bytes }, at, tail, cuts) => {
      const damaged = concat([bytes.subarray(0, at % (bytes.length + 1)), tail]);
      assert.deepEqual(decodeChunks(cutAt(damaged, cuts)), readWhole(damaged));
    }),
    RUNS,
  );
});

/** Lengths of chunks: some of a few bytes, some longer. */
const LENGTHS = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ max: 90, min: 0 })),
  {
    minLength: 1,
    maxLength: 12,
  },
).filter((lengths) => lengths.some((length) => length > 0));
function cutInto(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length];
    // A copy: it is overwritten below, as a caller may do.
    chunks.push(bytes.slice(at, at + length));
    at += length;
  }
  return chunks;
}

Deno.test("MpackDecoder agrees with the oracle on small chunks, with take() and save() between them", () => {
  const looks = fc.array(fc.constantFrom("", "", "", "take", "save", "count"), { minLength: 1 });
  const limits = fc.record({ maxPackBytes: fc.nat(2000) }, { requiredKeys: [] });
  const tail = fc.option(fc.uint8Array({ maxLength: 9 }), { nil: undefined });
  fc.assert(
    fc.property(
      PACK,
      fc.nat(),
      tail,
      LENGTHS,
      fc.tuple(looks, limits),
      (pack, at, tail, lengths, more) => {
        const [looks, limits] = more, { bytes } = pack;
        const begin = bytes.subarray(0, at % (bytes.length + 1));
        const input = tail === undefined ? bytes : concat([begin, tail]);
        let given = 0, offsetBytes = 0;
        const look = (i: number) => looks[i % looks.length];
        const chunks = cutInto(input, lengths);
        const verdict = decodeChunks(chunks, {
          limits,
          resume: () => look(given) === "save",
          leave: () => look(given) !== "take",
          onChunk(decoder) {
            const { length } = chunks[given++];
            chunks[given - 1].fill(0xc1);
            assert.equal(decoder.offsetBytes, offsetBytes += length);
            if (look(given) === "count") decoder.counts;
          },
        });
        assert.deepEqual(verdict, readWhole(input, limits));
      },
    ),
    RUNS,
  );
});

Deno.test("MpackDecoder agrees with the oracle under random limits", () => {
  const limits = fc.record({
    maxPackBytes: fc.nat(2000),
    maxObjects: fc.nat(6),
    maxContentBytes: fc.nat(400),
    maxDepth: fc.integer({ min: 0, max: 8 }),
    maxKeyBytes: fc.nat(12),
    maxKeys: fc.nat(5),
    maxValueBytes: fc.nat(300),
    maxNodes: fc.nat(60),
    maxOpenKeys: fc.nat(12),
  }, { requiredKeys: [] });
  fc.assert(
    fc.property(PACK, limits, CUTS, ({ bytes }, limits, cuts) => {
      assert.deepEqual(decodeChunks(cutAt(bytes, cuts), { limits }), readWhole(bytes, limits));
    }),
    RUNS,
  );
});

Deno.test("the public msgpack test suite: every vector is one complete value", async (t) => {
  const groups: Record<string, { msgpack: string[] }[]> = suite;
  for (const [name, vectors] of Object.entries(groups)) {
    await t.step(name, () => {
      for (const hex of vectors.flatMap(({ msgpack }) => msgpack)) {
        const value = new Raw(Uint8Array.fromHex(hex.replaceAll("-", "")));
        const asValue = buildMpack([["x", value], ["y", [value]]]);
        for (const chunkBytes of [1, 3, asValue.length]) {
          const decoder = new MpackDecoder();
          for (let at = 0; at < asValue.length; at += chunkBytes) {
            decoder.write(asValue.subarray(at, at + chunkBytes));
          }
          decoder.end();
          assert.equal(decoder.sections[0].sizeBytes, value.bytes.length, hex);
        }
        for (let sizeBytes = 0; sizeBytes < value.bytes.length; sizeBytes++) {
          const pack = concat([
            header("map", 1).bytes,
            str("x").bytes,
            value.bytes.subarray(0, sizeBytes),
          ]);
          const verdict = decodeMpack(pack);
          assert.ok(!verdict.accepted && verdict.code === "truncated", hex);
        }
        const asKey = buildMpack({ x: map([[value, 1]]) });
        assert.deepEqual(decodeMpack(asKey), readWhole(asKey), hex);
      }
    });
  }
});

Deno.test("the public msgpack test suite: widths of one number are one key", () => {
  const groups: Record<string, { msgpack: string[] }[]> = suite;
  let compared = 0;
  for (const { msgpack } of Object.values(groups).flat()) {
    const values = msgpack.map((hex) => new Raw(Uint8Array.fromHex(hex.replaceAll("-", ""))));
    for (const first of values) {
      for (const second of values) {
        const pack = buildMpack({ x: map([[first, 1], [second, 2]]) });
        assert.deepEqual(decodeMpack(pack), readWhole(pack));
        compared++;
      }
    }
  }
  assert.ok(compared > 500);
});
