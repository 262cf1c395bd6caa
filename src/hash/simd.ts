/**
 * SHA-256 in WebAssembly with SIMD as an engine: this file knows bytes and padding, simd_code.ts the
 * rounds.
 *
 * @module
 */

import type { ResumableCore } from "./core.ts";
import { decodeMidstate, encodeMidstate, START } from "./midstate.ts";
import { simdModule } from "./simd_code.ts";

const BLOCK_BYTES = 64;
/** The words are at address 0; the bytes to hash begin here. */
const DATA_AT = 64;
const PAGE_BYTES = 64 * 1024, PAGES = 2;
/** Whole blocks; what remains of a page is not worth code. */
const DATA_BYTES = PAGE_BYTES;

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly blocks: (at: number, end: number) => void;
}

let compiled: WebAssembly.Module | undefined;

/** Opens the engine at the first byte. */
export function openSimd(): ResumableCore {
  compiled ??= new WebAssembly.Module(simdModule(PAGES));
  const { exports } = new WebAssembly.Instance(compiled);
  const { memory, blocks } = exports as unknown as Exports;
  const words = new DataView(memory.buffer), data = new Uint8Array(memory.buffer, DATA_AT);
  /** The tail is at the beginning of `data`. */
  let lengthBytes = 0, tailBytes = 0;

  const hash = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + DATA_BYTES - tailBytes);
      data.set(part, tailBytes);
      at += part.length;
      const filledBytes = tailBytes + part.length;
      tailBytes = filledBytes % BLOCK_BYTES;
      const endBytes = filledBytes - tailBytes;
      blocks(DATA_AT, DATA_AT + endBytes);
      data.copyWithin(0, endBytes, filledBytes);
    }
  };
  const core: ResumableCore = {
    update(bytes) {
      hash(bytes);
      lengthBytes += bytes.length;
    },
    save: () =>
      encodeMidstate({
        words: Array.from({ length: 8 }, (_, i) => words.getUint32(4 * i, true)),
        lengthBytes,
        tail: data.subarray(0, tailBytes),
      }),
    load(midstate) {
      const state = decodeMidstate(midstate);
      for (const [i, word] of state.words.entries()) words.setUint32(4 * i, word, true);
      data.set(state.tail);
      lengthBytes = state.lengthBytes;
      tailBytes = state.tail.length;
    },
    digest() {
      // A one, zeros up to the last eight bytes of a block, and the length in bits.
      const zeros = (2 * BLOCK_BYTES - 9 - tailBytes) % BLOCK_BYTES;
      const padding = new Uint8Array(1 + zeros + 8);
      padding[0] = 0x80;
      new DataView(padding.buffer).setBigUint64(1 + zeros, 8n * BigInt(lengthBytes));
      hash(padding);
      const digest = new Uint8Array(32), view = new DataView(digest.buffer);
      for (let i = 0; i < 8; i++) view.setUint32(4 * i, words.getUint32(4 * i, true));
      return digest.toHex();
    },
  };
  core.load(encodeMidstate(START));
  return core;
}
