/**
 * One setting: its variable, unit, range, default, and what it is for.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { grouped } from "../lib/numbers.ts";
import { readBytes, readMs } from "../lib/text/quantities.ts";

/** One declared setting. */
export interface Setting<T> {
  /** The environment variable. */
  readonly env: string;
  /** What the number counts, or the kind of text. */
  readonly unit: string;
  /** The values that are accepted, for people. */
  readonly range: string;
  /** The value when the variable is not set; undefined where there is none. */
  readonly fallback: T;
  /** One sentence on what it does. */
  readonly doc: string;
  /** Whether the value must never be printed. */
  readonly isSecret: boolean;
  /** Reads the variable's text. Throws a `ConfigError` that says what is accepted. */
  parse(text: string): T;
}

/** A setting that still lacks its sentence. */
interface Undocumented<T> {
  /** Adds the sentence on what the setting does. */
  doc(sentence: string): Setting<T>;
}

/** A whole number within a range. Bytes may be given as `64KiB`, times as `5m`. */
export function integer(
  env: string,
  fallback: number,
  unit: string,
  [min, max]: readonly [min: number, max: number],
): Undocumented<number> {
  const range = `${grouped(min)} to ${grouped(max)}`;
  const parse = (text: string) => {
    const value = numberOf(text, unit);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new ConfigError(
      `Cannot use ${env}: "${text}" is not a whole number of ${unit} from ${range}`,
    );
  };
  return undocumented({ env, unit, range, fallback, isSecret: false, parse });
}

/** One of a few words. */
export function choice<const Words extends readonly string[]>(
  env: string,
  fallback: Words[number],
  words: Words,
): Undocumented<Words[number]> {
  const range = words.join(" or ");
  const parse = (text: string) => {
    if (words.includes(text)) return text as Words[number];
    throw new ConfigError(`Cannot use ${env}: "${text}" is not ${range}`);
  };
  return undocumented({ env, unit: "word", range, fallback, isSecret: false, parse });
}

/** How a text is described and checked. */
interface TextOptions {
  readonly range?: string;
  readonly isSecret?: boolean;
  /** Says what is wrong with a value; undefined if nothing is. */
  readonly check?: (text: string) => string | undefined;
}

/** A text. `fallback` may be undefined. */
export function text<T extends string | undefined>(
  env: string,
  fallback: T,
  unit: string,
  { range = "", isSecret = false, check }: TextOptions = {},
): Undocumented<string | T> {
  const parse = (value: string) => {
    const problem = check?.(value);
    if (problem === undefined) return value;
    throw new ConfigError(`Cannot use ${env}: ${problem}`);
  };
  return undocumented<string | T>({ env, unit, range, fallback, isSecret, parse });
}

function undocumented<T>(setting: Omit<Setting<T>, "doc">): Undocumented<T> {
  return { doc: (doc) => ({ ...setting, doc }) };
}

/** A number in the setting's unit, or a time or size with a unit of its own. */
function numberOf(text: string, unit: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  if (unit === "bytes") return readBytes(text) ?? NaN;
  if (unit === "ms") return readMs(text) ?? NaN;
  if (unit === "seconds") return (readMs(text) ?? NaN) / 1_000;
  return NaN;
}
