/**
 * Checks byte ranges, for every store alike.
 *
 * @module
 */

type RangeOptions = { readonly offsetBytes?: number; readonly lengthBytes?: number };

/**
 * Returns the bytes to read of a blob of `sizeBytes`, the end exclusive.
 *
 * @throws {RangeError} If the range is invalid or begins after the blob's end.
 */
export function checkRange(
  key: string,
  sizeBytes: number,
  options: RangeOptions,
): { startBytes: number; endBytes: number } {
  const { startBytes, lengthBytes } = checkRangeOptions(key, options);
  if (startBytes > sizeBytes) {
    throw new RangeError(
      `Cannot read ${JSON.stringify(key)} from byte ${startBytes}: it has ${sizeBytes} bytes`,
    );
  }
  return { startBytes, endBytes: Math.min(sizeBytes, startBytes + lengthBytes) };
}

/**
 * Returns the range before the blob's size is known; without a length, `lengthBytes` is Infinity.
 *
 * @throws {RangeError} If the range is invalid.
 */
export function checkRangeOptions(
  key: string,
  { offsetBytes = 0, lengthBytes = Infinity }: RangeOptions,
): { startBytes: number; lengthBytes: number } {
  const isValid = Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 &&
    (lengthBytes === Infinity || Number.isSafeInteger(lengthBytes)) && lengthBytes >= 1;
  if (isValid) return { startBytes: offsetBytes, lengthBytes };
  const range = `${lengthBytes} bytes from byte ${offsetBytes}`;
  throw new RangeError(`Cannot read ${JSON.stringify(key)}: ${range} is no range`);
}
