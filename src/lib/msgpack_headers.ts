/**
 * Writes MessagePack headers and strings, for documents that are put together of parts.
 *
 * @see {@link https://github.com/msgpack/msgpack/blob/master/spec.md#formats | formats}
 * @module
 */

const UTF8 = new TextEncoder();

/** The header of an array. */
export function arrayHeader(length: number): number[] {
  return length <= 15 ? [0x90 | length] : long(length, undefined, 0xdc, 0xdd);
}

/** The header of a map. */
export function mapHeader(length: number): number[] {
  return length <= 15 ? [0x80 | length] : long(length, undefined, 0xde, 0xdf);
}

/** The header of a binary. */
export function binHeader(sizeBytes: number): number[] {
  return long(sizeBytes, 0xc4, 0xc5, 0xc6);
}

/** A whole string. */
export function str(text: string): number[] {
  const bytes = UTF8.encode(text), { length } = bytes;
  const header = length <= 31 ? [0xa0 | length] : long(length, 0xd9, 0xda, 0xdb);
  return [...header, ...bytes];
}

function long(length: number, by8: number | undefined, by16: number, by32: number): number[] {
  if (by8 !== undefined && length <= 0xff) return [by8, length];
  if (length <= 0xffff) return [by16, length >>> 8, length & 0xff];
  return [by32, length >>> 24, length >>> 16 & 0xff, length >>> 8 & 0xff, length & 0xff];
}
