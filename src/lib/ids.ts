/**
 * Names made of digests.
 *
 * @module
 */

const MPACK_KEY = /^sha256:[0-9a-f]{64}$/;

/** Whether `text` has the form of an mpack key: `sha256:` and 64 lower-case hex digits. */
export function isMpackKey(text: string): boolean {
  return MPACK_KEY.test(text);
}

/** The key of the mpack whose bytes have this digest (64 lower-case hex digits). */
export function mpackKeyOf(hex: string): string {
  return `sha256:${hex}`;
}
