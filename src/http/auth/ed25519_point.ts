/**
 * Checks Ed25519 public keys. With a key of low order, one signature verifies for many messages, and
 * anybody can make it (WebCrypto in Deno 2.9.6 accepts such keys).
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc8032#section-5.1.3 | RFC 8032, section 5.1.3}
 * @module
 */

const P = 2n ** 255n - 19n;
/** -121665 / 121666 modulo P. */
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
const KEY_BYTES = 32;
/** The y coordinate of a point of order 8. */
const Y8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;
/** The y coordinates of all points of order 1, 2, 4 and 8. */
const LOW_ORDER = new Set([0n, 1n, P - 1n, Y8, P - Y8]);

/** Tells whether a key is the canonical form of a point on the curve that is not of low order. */
export function isSafePublicKey(key: Uint8Array): boolean {
  if (key.length !== KEY_BYTES) return false;
  const y = BigInt(`0x${new Uint8Array(key).reverse().toHex()}`) & (2n ** 255n - 1n);
  return y < P && !LOW_ORDER.has(y) && isOnCurve(y);
}

/** Tells whether x² = (y² - 1) / (D y² + 1) has a solution. */
function isOnCurve(y: bigint): boolean {
  const y2 = y * y % P;
  const x2 = (y2 - 1n + P) * power(D * y2 + 1n, P - 2n) % P;
  return x2 === 0n || power(x2, (P - 1n) / 2n) === 1n;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = base % P; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = result * square % P;
    square = square * square % P;
  }
  return result;
}
