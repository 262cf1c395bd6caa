/**
 * Numbers for people: `1,234,567`.
 *
 * `toLocaleString()` would load the runtime's tables of locales, a third of a short command's time.
 *
 * @module
 */

/** An integer with a comma before every third digit. */
export function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}
