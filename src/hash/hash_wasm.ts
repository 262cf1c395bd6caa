/**
 * hash-wasm as an engine.
 *
 * Its `save()` returns four bytes that name its build, then the memory of its C context: the block,
 * the length, the words, in the byte order of WebAssembly. Only the fields that a neutral state has
 * are taken from there and written there. The known answers notice a build with another layout.
 *
 * @see {@link https://github.com/Daninet/hash-wasm/blob/v4.13.0/src/sha256.c | struct sha256_ctx}
 * @module
 */

import { createSHA256 } from "hash-wasm";
import type { ResumableCore } from "./core.ts";
import { decodeMidstate, encodeMidstate } from "./midstate.ts";

const BLOCK_AT = 4, BLOCK_BYTES = 64;
const LENGTH_AT = BLOCK_AT + BLOCK_BYTES;
const WORDS_AT = LENGTH_AT + 8;

/** Opens hash-wasm at the first byte. */
export async function openHashWasm(): Promise<ResumableCore> {
  const hash = await createSHA256();
  return {
    update: (bytes) => void hash.update(bytes),
    save() {
      const state = hash.save(), view = new DataView(state.buffer, state.byteOffset, state.length);
      const lengthBytes = Number(view.getBigUint64(LENGTH_AT, true));
      return encodeMidstate({
        words: Array.from({ length: 8 }, (_, i) => view.getUint32(WORDS_AT + 4 * i, true)),
        lengthBytes,
        tail: state.subarray(BLOCK_AT, BLOCK_AT + lengthBytes % BLOCK_BYTES),
      });
    },
    load(midstate) {
      const { words, lengthBytes, tail } = decodeMidstate(midstate);
      hash.init();
      const state = hash.save(), view = new DataView(state.buffer, state.byteOffset, state.length);
      state.set(tail, BLOCK_AT);
      view.setBigUint64(LENGTH_AT, BigInt(lengthBytes), true);
      for (const [i, word] of words.entries()) view.setUint32(WORDS_AT + 4 * i, word, true);
      hash.load(state);
    },
    digest: () => hash.digest("hex"),
  };
}
