/**
 * The two forms of an id: `sha256:` and 64 lower-case hex digits, or the digits alone.
 *
 * @module
 */

const PREFIX = "sha256:";
const DIGITS = 64;
/** 1 at the code of each lower-case hex digit. */
const IS_HEX = new Uint8Array(0x10000);
for (const digit of "0123456789abcdef") IS_HEX[digit.charCodeAt(0)] = 1;

/** A prefixed id, as the source of a regular expression. */
export const PREFIXED_ID_PATTERN = `${PREFIX}[0-9a-f]{64}`;
/** An mpack key: always with its prefix. */
export const MPACK_KEY: RegExp = new RegExp(`^${PREFIXED_ID_PATTERN}$`);
/** An object id: older clients leave the prefix out. */
export const OBJECT_ID: RegExp = new RegExp(`^(?:${PREFIX})?[0-9a-f]{64}$`);
const DIGEST = /^[0-9a-f]{64}$/;

/** Whether `text` is `sha256:` and 64 lower-case hex digits. */
export function isMpackKey(text: string): boolean {
  return MPACK_KEY.test(text);
}

/**
 * Whether `text` is `sha256:` and 64 lower-case hex digits, or the digits alone.
 *
 * Requests name up to 200,000 ids, and a regular expression takes nine times as long.
 */
export function isObjectId(text: string): boolean {
  const from = text.length - DIGITS;
  if (from !== 0 && (from !== PREFIX.length || !text.startsWith(PREFIX))) return false;
  let isHex = 1;
  for (let i = from; i < text.length; i++) isHex &= IS_HEX[text.charCodeAt(i)];
  return isHex === 1;
}

/** Whether `text` is 64 lower-case hex digits. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** The id with its prefix, whether it had one or not. */
export function withPrefix(id: string): string {
  return id.startsWith(PREFIX) ? id : PREFIX + id;
}

/** The 64 digits of an id. */
export function digestOf(id: string): string {
  return id.startsWith(PREFIX) ? id.slice(PREFIX.length) : id;
}

/** The same id in the other spelling: with the prefix if it has none, else without. */
export function otherSpelling(id: string): string {
  return id.startsWith(PREFIX) ? digestOf(id) : withPrefix(id);
}

/** Whether two ids name the same content, with or without the prefix. */
export function isSameId(one: string, other: string): boolean {
  return digestOf(one) === digestOf(other);
}
