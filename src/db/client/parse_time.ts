/** The first and the last time that a Date and an ISO 8601 text of four-digit years can hold. */
export const FIRST_TIME = "0001-01-01T00:00:00.000Z";
export const LAST_TIME = "9999-12-31T23:59:59.999Z";
const FIRST = new Date(FIRST_TIME);
const LAST = new Date(LAST_TIME);

/**
 * Parses a time as PostgreSQL writes it. Other programs may write `infinity`, years before Christ, or
 * years of five digits: they become the first or the last time that can be shown.
 */
export function parseTime(text: string): Date {
  const time = new Date(text);
  if (time >= FIRST && time <= LAST) return time;
  return text.startsWith("-") || text.endsWith("BC") ? FIRST : LAST;
}
