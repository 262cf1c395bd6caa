/**
 * Reads times and sizes as people write them: one grammar for settings and options.
 *
 * @module
 */

/** The units of a time, in milliseconds. */
const MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** The units of a size, in bytes: binary ones, and decimal ones as disks have them. */
const BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** What a time looks like, for errors. */
export const TIME_FORMS = "30d, 12h, 5m, 10s or 250ms";
/** What a size looks like, for errors. */
export const SIZE_FORMS = "1048576, 64MiB, 1.5GiB or 500MB";

/**
 * Milliseconds of `250ms`, `10s`, `5m`, `12h`, `30d` or `4w`; undefined if the text is none of these.
 * A number alone has no unit, and is none.
 */
export function readMs(text: string): number | undefined {
  return read(text, MS);
}

/**
 * Bytes of `1048576`, `64MiB`, `1.5GiB` or `500MB`; undefined if the text is none of these, or no
 * whole number of bytes.
 */
export function readBytes(text: string): number | undefined {
  return /^\d+$/.test(text) ? safe(Number(text)) : read(text, BYTES);
}

function read(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, digits, unit] = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]+)$/.exec(text) ?? [];
  if (unit === undefined || !Object.hasOwn(units, unit)) return undefined;
  return safe(Number(digits) * units[unit]);
}

function safe(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}
