/**
 * Reads a Retry-After header, which holds seconds or a date.
 *
 * @returns Milliseconds from now, 0 or more; undefined if the header is missing or malformed.
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#field.retry-after | RFC 9110, 10.2.3}
 */
export function retryAfterMs(
  header: string | null,
  nowMs: number = Date.now(),
): number | undefined {
  if (header === null) return undefined;
  const isSeconds = /^\d+$/.test(header.trim());
  const waitMs = isSeconds ? 1000 * Number(header) : Date.parse(header) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs);
}
