/**
 * Reads the `Accept-Encoding` field.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3 | RFC 9110, section 12.5.3}
 * @module
 */

/** Whether the client names this coding, and not with the weight 0. */
export function acceptsCoding(headers: Headers, coding: string): boolean {
  for (const part of headers.get("accept-encoding")?.split(",") ?? []) {
    const [name, ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
    if (name !== coding) continue;
    return !parameters.some((parameter) => /^q=0(\.0{0,3})?$/.test(parameter));
  }
  return false;
}
