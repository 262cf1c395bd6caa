/**
 * Byte ranges, checked once for every store.
 *
 * @module
 */

/**
 * The range to read of a blob of `sizeBytes`, as a half-open interval.
 *
 * @throws {RangeError} If the options are no range, or it begins after the blob's end.
 */
export function checkRange(
  key: string,
  sizeBytes: number,
  options: { offsetBytes?: number; lengthBytes?: number },
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
 * The options as numbers, before the blob's size is known; no length means to the end.
 *
 * @throws {RangeError} If they are no range.
 */
export function checkRangeOptions(
  key: string,
  options: { offsetBytes?: number; lengthBytes?: number },
): { startBytes: number; lengthBytes: number } {
  const { offsetBytes = 0, lengthBytes = Infinity } = options;
  const isRange = Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 &&
    (lengthBytes === Infinity || Number.isSafeInteger(lengthBytes)) && lengthBytes >= 1;
  if (!isRange) {
    throw new RangeError(
      `Cannot read ${
        JSON.stringify(key)
      }: ${lengthBytes} bytes from byte ${offsetBytes} is no range`,
    );
  }
  return { startBytes: offsetBytes, lengthBytes };
}
