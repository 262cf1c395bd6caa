/**
 * The oracle: SHA-256 written straight from FIPS 180-4, with its state in the open.
 *
 * @module
 */

const PRIMES = Array.from({ length: 312 }, (_, n) => n).filter((n) =>
  n > 1 && Array.from({ length: n }, (_, d) => d).every((d) => d < 2 || n % d > 0)
);
/** The first 32 bits of the fraction of a root, exact to the last bit. */
function fraction(n: number, root: 2 | 3): number {
  let low = 0n, high = 1n << 40n;
  const power = BigInt(n) << BigInt(32 * root);
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle ** BigInt(root) <= power) low = middle;
    else high = middle;
  }
  return Number(low & 0xffffffffn);
}
const K = PRIMES.slice(0, 64).map((n) => fraction(n, 3));
const H = PRIMES.slice(0, 8).map((n) => fraction(n, 2));
const rotate = (x: number, n: number) => (x >>> n) | (x << (32 - n));

function compress(words: readonly number[], block: Uint8Array): number[] {
  const view = new DataView(block.buffer, block.byteOffset, 64), w: number[] = [];
  for (let t = 0; t < 64; t++) {
    if (t < 16) w.push(view.getUint32(4 * t));
    else {
      const s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >>> 3);
      const s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >>> 10);
      w.push((s1 + w[t - 7] + s0 + w[t - 16]) | 0);
    }
  }
  let [a, b, c, d, e, f, g, h] = words;
  for (let t = 0; t < 64; t++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[t] + w[t]) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [a, b, c, d, e, f, g, h] = [(t1 + t2) | 0, a, b, c, (d + t1) | 0, e, f, g];
  }
  return [a, b, c, d, e, f, g, h].map((word, i) => (word + words[i]) >>> 0);
}

/** The state words after the whole blocks of `bytes`. */
export function wordsAfter(bytes: Uint8Array): number[] {
  let words = H;
  for (let at = 0; at + 64 <= bytes.length; at += 64) {
    words = compress(words, bytes.slice(at, at + 64));
  }
  return words;
}

/** The digest in hex. */
export function referenceSha256(bytes: Uint8Array): string {
  const padded = new Uint8Array(64 * Math.ceil((bytes.length + 9) / 64));
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(8 * bytes.length));
  return wordsAfter(padded).map((word) => word.toString(16).padStart(8, "0")).join("");
}
