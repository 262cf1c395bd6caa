/**
 * OpenSSL's SHA-256 by foreign function calls, on a context in our own memory: as fast as the
 * runtime's own, and its state can be saved.
 *
 * The context is `struct SHA256state_st`: eight words, the length in bits as two words, the block,
 * and two counts, 112 bytes. The known answers notice another layout. The calls are deprecated since
 * OpenSSL 3.0, and some builds leave them out.
 *
 * @see {@link https://docs.openssl.org/3.0/man3/SHA256_Init/ | SHA256_Init}
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { ResumableCore } from "./core.ts";
import { decodeMidstate, encodeMidstate } from "./midstate.ts";

const CONTEXT_BYTES = 112;
/** Places in the context, in 32-bit words. */
const LENGTH_AT = 8, BLOCK_AT = 10, TAIL_LENGTH_AT = 26;
const BLOCK_BYTES = 64;

const SYMBOLS = {
  SHA256_Init: { parameters: ["buffer"], result: "i32" },
  SHA256_Update: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  SHA256_Final: { parameters: ["buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const opened = new Map<string, Deno.DynamicLibrary<typeof SYMBOLS>>();

/**
 * Opens the engine at the first byte. The library stays open: each thread opens it once.
 *
 * @param path The library's file. `--allow-ffi` must name it.
 * @throws {ConfigError} If it cannot be opened, or has not the calls.
 */
export function openLibcrypto(path: string): ResumableCore {
  const { symbols } = open(path);
  const context = new Uint8Array(CONTEXT_BYTES), words = new Uint32Array(context.buffer);
  const block = context.subarray(4 * BLOCK_AT, 4 * BLOCK_AT + BLOCK_BYTES);
  const done = (status: number) => {
    if (status !== 1) throw new Error(`Cannot hash: ${path} refused a call`);
  };
  done(symbols.SHA256_Init(context));
  return {
    update: (bytes) => {
      const { buffer, byteOffset, length } = bytes;
      const view = new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
      done(symbols.SHA256_Update(context, view, BigInt(length)));
    },
    save: () => {
      const [low, high] = words.subarray(LENGTH_AT, LENGTH_AT + 2);
      return encodeMidstate({
        words: Array.from(words.subarray(0, 8)),
        lengthBytes: (high * 2 ** 32 + low) / 8,
        tail: block.slice(0, words[TAIL_LENGTH_AT]),
      });
    },
    load(midstate) {
      const state = decodeMidstate(midstate), lengthBits = 8n * BigInt(state.lengthBytes);
      done(symbols.SHA256_Init(context));
      words.set(state.words);
      words[LENGTH_AT] = Number(lengthBits & 0xffffffffn);
      words[LENGTH_AT + 1] = Number(lengthBits >> 32n);
      block.set(state.tail);
      words[TAIL_LENGTH_AT] = state.tail.length;
    },
    digest() {
      const digest = new Uint8Array(32);
      done(symbols.SHA256_Final(digest, context));
      return digest.toHex();
    },
  };
}

function open(path: string): Deno.DynamicLibrary<typeof SYMBOLS> {
  let library = opened.get(path);
  try {
    library ??= Deno.dlopen(path, SYMBOLS);
  } catch (error) {
    const why = error instanceof Deno.errors.NotCapable
      ? `it needs --allow-ffi=${path}`
      : (error as Error).message;
    throw new ConfigError(`Cannot hash with libcrypto (MPACK_LIBCRYPTO): ${why}`, { cause: error });
  }
  opened.set(path, library);
  return library;
}
