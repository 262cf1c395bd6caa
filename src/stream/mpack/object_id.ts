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

/** The id in these bytes as a string. */
export function idText(bytes: Uint8Array): string {
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}
