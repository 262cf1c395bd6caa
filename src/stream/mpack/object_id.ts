/**
 * Object ids as bytes: checks them without making strings.
 *
 * @module
 */

const PREFIX = new TextEncoder().encode("sha256:");

/** Length of an id without its prefix. */
export const BARE_ID_BYTES = 64;
/** Length of an id with it. */
export const PREFIXED_ID_BYTES: number = PREFIX.length + BARE_ID_BYTES;

const ASCII = new TextDecoder();
const IS_HEX = new Uint8Array(256);
for (const byte of new TextEncoder().encode("0123456789abcdef")) IS_HEX[byte] = 1;

/** Whether the `idBytes` bytes from `at` are an object id. */
export function isIdAt(bytes: Uint8Array, at: number, idBytes: number): boolean {
  if (idBytes === PREFIXED_ID_BYTES) {
    for (let i = 0; i < PREFIX.length; i++) if (bytes[at + i] !== PREFIX[i]) return false;
  } else if (idBytes !== BARE_ID_BYTES) return false;
  let wrong = 0;
  for (let i = idBytes - BARE_ID_BYTES; i < idBytes; i++) wrong |= IS_HEX[bytes[at + i]] ^ 1;
  return wrong === 0;
}

/**
 * 0 if the four bytes of `word` are lower-case hex digits. Checks all four at once: a digit is 0x3n
 * with n below 10, a letter 0x6n with n from 1 to 6.
 */
export function notHex(word: number): number {
  const letters = word >>> 6 & 0x01010101, nibbles = word & 0x0f0f0f0f;
  const wrongHalves = (word & 0xf0f0f0f0) ^ (0x30303030 + 0x30 * letters);
  const tooHigh = nibbles + 0x06060606 + 3 * letters;
  const tooLow = ~((nibbles | 0x10101010) - letters);
  return wrongHalves | (tooHigh | tooLow) & 0x10101010;
}

/** The id in these bytes as a string. */
export function idText(bytes: Uint8Array): string {
  return ASCII.decode(bytes);
}
