/**
 * Parses option values.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { grouped } from "../lib/numbers.ts";
import { mostSimilar } from "../lib/similar.ts";
import { readBytes, readMs, SIZE_FORMS, TIME_FORMS } from "../lib/text/quantities.ts";

/**
 * Parses `30d`, `12h`, `5m`, `10s` or `250ms` into milliseconds.
 *
 * @throws {ConfigError} If it is none of these.
 */
export function parseDuration(flag: string, text: string): number {
  const ms = readMs(text);
  if (ms !== undefined) return ms;
  const why = /^\d+$/.test(text) ? "it has no unit; write it like" : "it is not like";
  throw new ConfigError(`Cannot use ${flag} ${text}: ${why} ${TIME_FORMS}`);
}

/**
 * Parses a number of bytes, such as `64MiB`, within a range.
 *
 * @throws {ConfigError} If it is none.
 */
export function parseBytes(
  flag: string,
  text: string,
  { min = 0 }: { readonly min?: number } = {},
): number {
  const bytes = readBytes(text);
  if (bytes === undefined) {
    throw new ConfigError(`Cannot use ${flag} ${text}: it is no size like ${SIZE_FORMS}`);
  }
  if (bytes >= min) return bytes;
  throw new ConfigError(`Cannot use ${flag} ${text}: it is less than ${grouped(min)} bytes`);
}

/**
 * Parses one of a few words.
 *
 * @throws {ConfigError} If it is none of them; says which was meant.
 */
export function parseChoice<Word extends string>(
  flag: string,
  text: string,
  words: readonly Word[],
): Word {
  const word = words.find((word) => word === text);
  if (word !== undefined) return word;
  const meant = mostSimilar(text, words);
  throw new ConfigError(
    `Cannot use ${flag} ${text}: ` +
      (meant === undefined ? `it is none of ${words.join(", ")}` : `did you mean ${meant}?`),
  );
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
