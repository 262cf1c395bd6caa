/**
 * How one setting is declared and read: its variable, unit, range, default, and what it is for.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { grouped } from "../lib/numbers.ts";

/** One declared setting. */
export interface Setting<T> {
  /** The environment variable. */
  readonly env: string;
  /** What the number counts, or the values allowed. */
  readonly unit: string;
  /** What is accepted, for people. */
  readonly range: string;
  /** The value when the variable is not set; undefined where there is none. */
  readonly fallback: T;
  /** One sentence on what it does. */
  readonly doc: string;
  /** Whether the value must never be printed. */
  readonly isSecret: boolean;
  /** Reads a value that was given. */
  parse(text: string): T;
}

/** A whole number. */
export function integer(
  options: { env: string; unit: string; min: number; max: number; fallback: number; doc: string },
): Setting<number> {
  const { env, unit, min, max, fallback, doc } = options;
  const range = `${grouped(min)} to ${grouped(max)}`;
  return {
    env,
    unit,
    range,
    fallback,
    doc,
    isSecret: false,
    parse(text) {
      const value = unit === "bytes" ? bytesOf(text) : /^\d+$/.test(text) ? Number(text) : NaN;
      if (value >= min && value <= max) return value;
      throw new ConfigError(
        `Cannot use ${env}: "${text}" is not a whole number of ${unit} from ${range}`,
      );
    },
  };
}

/** One of a few words. */
export function choice<T extends string>(
  options: { env: string; values: readonly T[]; fallback: T; doc: string },
): Setting<T> {
  const { env, values, fallback, doc } = options;
  const range = values.join(" or ");
  return {
    env,
    unit: "word",
    range,
    fallback,
    doc,
    isSecret: false,
    parse(text) {
      const value = values.find((word) => word === text);
      if (value !== undefined) return value;
      throw new ConfigError(`Cannot use ${env}: "${text}" is not ${range}`);
    },
  };
}

/** A text, checked where it is used; `fallback` may be undefined. */
export function text<T extends string | undefined>(
  options: {
    env: string;
    unit: string;
    fallback: T;
    doc: string;
    isSecret?: boolean;
    range?: string;
    check?: (text: string) => string | undefined;
  },
): Setting<string | T> {
  const { env, unit, fallback, doc, isSecret = false, range = "", check } = options;
  return {
    env,
    unit,
    range,
    fallback,
    doc,
    isSecret,
    parse(value) {
      const problem = check?.(value);
      if (problem === undefined) return value;
      throw new ConfigError(`Cannot use ${env}: ${problem}`);
    },
  };
}

/** `1024`, `64KiB`, `8MiB` or `2GiB` as bytes; NaN if it is none of these. */
export function bytesOf(text: string): number {
  const [, digits, suffix] = /^(\d+)\s*(KiB|MiB|GiB|TiB)?$/.exec(text) ?? [];
  if (digits === undefined) return NaN;
  const power = suffix ? ["KiB", "MiB", "GiB", "TiB"].indexOf(suffix) + 1 : 0;
  return Number(digits) * 1024 ** power;
}
