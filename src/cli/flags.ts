/**
 * Parses option values.
 *
 * @module
 */

import { bytesOf } from "../config/sizes.ts";
import { ConfigError } from "../errors.ts";

const UNITS_MS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Parses `30d`, `12h`, `5m`, `10s` or `250ms` into milliseconds.
 *
 * @throws {ConfigError} If it is none of these.
 */
export function parseDuration(flag: string, text: string): number {
  const [, digits, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  if (digits !== undefined) return Number(digits) * UNITS_MS[unit];
  throw new ConfigError(`Cannot use ${flag} ${text}: it is not like 30d, 12h, 5m, 10s or 250ms`);
}

/**
 * Parses a whole number within a range.
 *
 * @throws {ConfigError} If it is not one.
 */
export function parseCount(
  flag: string,
  text: string,
  { min = 0, max = 1e15 }: { readonly min?: number; readonly max?: number } = {},
): number {
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new ConfigError(
    `Cannot use ${flag} ${text}: it is not a whole number from ${min} to ${max}`,
  );
}

/**
 * Parses a number of bytes: `1024`, `64KiB`, `8MiB`, `2GiB` or `1TiB`.
 *
 * @throws {ConfigError} If it is none of these.
 */
export function parseBytes(flag: string, text: string): number {
  const value = bytesOf(text);
  if (Number.isSafeInteger(value)) return value;
  throw new ConfigError(`Cannot use ${flag} ${text}: it is not like 1024, 64KiB, 8MiB or 2GiB`);
}
