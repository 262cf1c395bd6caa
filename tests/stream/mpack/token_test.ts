import assert from "node:assert/strict";
import { headerBytes, TokenReader, Type, wholeBytes } from "../../../src/stream/mpack/token.ts";
import { type Family, readHeader } from "../../support/mpack/msgpack_header.ts";

const FAMILIES: Record<Family, Type> = {
  nil: Type.Nil,
  bool: Type.Bool,
  int: Type.Int,
  float: Type.Float,
  str: Type.Str,
  bin: Type.Bin,
  ext: Type.Ext,
  array: Type.Array,
  map: Type.Map,
  never: Type.Never,
};

Deno.test("TokenReader reads every first byte as the oracle does", () => {
  const token = new TokenReader();
  for (let first = 0; first < 256; first++) {
    for (const fill of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
      const bytes = new Uint8Array(12).fill(fill);
      bytes[2] = first;
      token.read(bytes, 2);
      const expected = readHeader(bytes, 2);
      assert.ok(expected);
      assert.equal(token.type, FAMILIES[expected.family], `${first}`);
      assert.equal(token.length, expected.length, `${first}`);
      assert.equal(token.headerBytes, expected.bodyOffsetBytes - 2, `${first}`);
      assert.equal(headerBytes(first), token.headerBytes);
      if (expected.family === "ext") assert.equal(token.extType, expected.value);
    }
  }
});

Deno.test("wholeBytes() is the length of a value if its first byte tells it", () => {
  for (let first = 0; first < 256; first++) {
    const short = readHeader(new Uint8Array(12).fill(0).fill(first, 0, 1), 0);
    const long = readHeader(new Uint8Array(12).fill(1).fill(first, 0, 1), 0);
    assert.ok(short && long);
    const { family, length, bodyOffsetBytes } = short;
    const isOpen = family === "array" || family === "map" || family === "never";
    const isSaid = !isOpen && family !== "ext" && length === long.length && family !== "bin";
    assert.equal(wholeBytes(first), isSaid ? bodyOffsetBytes + length : 0, `${first}`);
  }
});

/** The canonical form of the scalar in these bytes, hex. */
function canonical(...bytes: number[]): string {
  const token = new TokenReader();
  token.read(Uint8Array.from([0xc0, ...bytes]), 1);
  return token.canonicalScalar().toHex();
}

Deno.test("canonicalScalar() is the same for every width of a number", () => {
  const zeros = (count: number) => Array<number>(count).fill(0);
  const ones = (count: number) => Array<number>(count).fill(0xff);
  const same: number[][][] = [
    [[5], [0xcc, 5], [0xcd, 0, 5], [0xce, ...zeros(3), 5], [0xcf, ...zeros(7), 5], [0xd0, 5]],
    [[0xff], [0xd0, 0xff], [0xd1, ...ones(2)], [0xd2, ...ones(4)], [0xd3, ...ones(8)]],
    [[0xca, 0x3f, 0xc0, 0, 0], [0xcb, 0x3f, 0xf8, ...zeros(6)]],
    [[0xca, ...zeros(4)], [0xcb, ...zeros(8)], [0xcb, 0x80, ...zeros(7)]],
    [[0xca, 0x7f, 0xc0, 0, 0], [0xcb, ...ones(8)], [0xcb, 0x7f, 0xf8, ...zeros(5), 1]],
  ];
  const forms = same.map((widths) => {
    const [form, ...rest] = new Set(widths.map((bytes) => canonical(...bytes)));
    assert.deepEqual(rest, []);
    return form;
  });
  assert.equal(new Set(forms).size, forms.length);
});

Deno.test("canonicalScalar() differs for different scalars", () => {
  assert.notEqual(canonical(0xc2), canonical(0xc3));
  assert.notEqual(canonical(0xcf, ...Array(8).fill(0xff)), canonical(0xff));
  assert.notEqual(
    canonical(0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0),
    canonical(0xd3, 0x80, ...Array(7).fill(0)),
  );
});
