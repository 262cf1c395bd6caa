import assert from "node:assert/strict";
import { notHex } from "../../../src/stream/mpack/object_id.ts";

const HEX = new TextEncoder().encode("0123456789abcdef");

function word(bytes: ArrayLike<number>): number {
  return new DataView(Uint8Array.from(bytes).buffer).getInt32(0);
}

Deno.test("notHex() finds every wrong byte in every position", () => {
  for (let place = 0; place < 4; place++) {
    for (let byte = 0; byte < 256; byte++) {
      for (const other of HEX) {
        const bytes = new Uint8Array(4).fill(other);
        bytes[place] = byte;
        assert.equal(notHex(word(bytes)) === 0, HEX.includes(byte), `${bytes}`);
      }
    }
  }
});

Deno.test("notHex() finds two wrong bytes", () => {
  for (let one = 0; one < 256; one++) {
    for (let two = 0; two < 256; two++) {
      const isHex = HEX.includes(one) && HEX.includes(two);
      for (
        const bytes of [[one, two, 0x30, 0x66], [0x30, one, two, 0x66], [one, 0x61, 0x39, two]]
      ) {
        assert.equal(notHex(word(bytes)) === 0, isHex, `${bytes}`);
      }
    }
  }
});
