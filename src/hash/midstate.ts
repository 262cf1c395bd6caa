/**
 * A SHA-256 between two updates, in a form that no engine owns: any engine continues from it.
 *
 * As bytes: the eight state words and the length in bytes, big-endian, then the tail (the bytes after
 * the last whole block). It is as secret as the bytes that were hashed.
 *
 * @see {@link https://doi.org/10.6028/NIST.FIPS.180-4 | FIPS 180-4, 6.2}
 * @module
 */

const BLOCK_BYTES = 64;
const WORDS = 8;
const LENGTH_AT = 4 * WORDS;
const TAIL_AT = LENGTH_AT + 8;

/** The state of a hash. */
interface Midstate {
  /** The eight words after the last whole block. */
  readonly words: readonly number[];
  /** Bytes hashed so far. */
  readonly lengthBytes: number;
  /** The bytes after the last whole block. */
  readonly tail: Uint8Array;
}

/** The state before the first byte (FIPS 180-4, 5.3.3). */
export const START: Midstate = {
  words: [
    ...[0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a],
    ...[0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19],
  ],
  lengthBytes: 0,
  tail: new Uint8Array(),
};

/** The state as bytes. */
export function encodeMidstate({ words, lengthBytes, tail }: Midstate): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(TAIL_AT + tail.length), view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word);
  view.setBigUint64(LENGTH_AT, BigInt(lengthBytes));
  bytes.set(tail, TAIL_AT);
  return bytes;
}

/** @throws {RangeError} If the bytes are not a state. */
export function decodeMidstate(bytes: Uint8Array): Midstate {
  const tail = bytes.slice(TAIL_AT);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const lengthBytes = bytes.length < TAIL_AT ? NaN : Number(view.getBigUint64(LENGTH_AT));
  if (!Number.isSafeInteger(lengthBytes) || tail.length !== lengthBytes % BLOCK_BYTES) {
    throw new RangeError(`Cannot resume a hash: ${bytes.length} bytes are not a SHA-256 state`);
  }
  return {
    words: Array.from({ length: WORDS }, (_, i) => view.getUint32(4 * i)),
    lengthBytes,
    tail,
  };
}
