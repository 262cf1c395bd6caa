/**
 * Holds a body to the length its owner declared.
 *
 * @module
 */

/**
 * Refuses a body that is too long as soon as that shows.
 *
 * @throws {RangeError} If `sizeSoFarBytes` already is more than was declared.
 */
export function checkSizeSoFar(key: string, sizeSoFarBytes: number, declaredBytes?: number): void {
  if (declaredBytes !== undefined && sizeSoFarBytes > declaredBytes) {
    throw new RangeError(
      `Cannot write ${JSON.stringify(key)}: ${declaredBytes} bytes were declared, ` +
        `at least ${sizeSoFarBytes} came`,
    );
  }
}

/**
 * Refuses a whole body of another length than declared.
 *
 * @throws {RangeError} If they differ.
 */
export function checkSize(key: string, sizeBytes: number, declaredBytes?: number): void {
  if (declaredBytes !== undefined && sizeBytes !== declaredBytes) {
    throw new RangeError(
      `Cannot write ${JSON.stringify(key)}: ${declaredBytes} bytes were declared, ` +
        `${sizeBytes} came`,
    );
  }
}
