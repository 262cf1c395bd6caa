/**
 * The form of an object id: `sha256:` and 64 lower-case hex digits, or the digits alone.
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

/** Whether `id` is `sha256:` + 64 lower-case hex digits, or the digits alone. */
export function isObjectId(id: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{64}$/.test(id);
}

/** The same of the `idBytes` bytes from `at`, all of which must be there. */
export function isIdAt(bytes: Uint8Array, at: number, idBytes: number): boolean {
  if (idBytes === PREFIXED_ID_BYTES) {
    for (let i = 0; i < PREFIX.length; i++) if (bytes[at + i] !== PREFIX[i]) return false;
  } else if (idBytes !== BARE_ID_BYTES) return false;
  let wrong = 0;
  for (let i = idBytes - BARE_ID_BYTES; i < idBytes; i++) wrong |= IS_HEX[bytes[at + i]] ^ 1;
  return wrong === 0;
}

/**
 * Whether four bytes, given as a number, are no hex digits: 0 if they are. All four are looked at in
 * one step, in their places: a digit is 3n with n below 10, a letter 6n with n from 1 to 6.
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
