/**
 * Removes the secrets of this process from texts of other libraries, which may quote a URL or header.
 *
 * @module
 */

/** Shorter values would hide ordinary words. */
const MIN_LENGTH = 6;

const secrets = new Set<string>();

/** Adds secrets of this process, in each form in which a text may quote them. */
export function addSecrets(values: readonly (string | undefined)[]): void {
  for (const form of formsOf(values)) secrets.add(form);
}

/** Forgets secrets that are not used any more. */
export function forgetSecrets(values: readonly (string | undefined)[]): void {
  for (const form of formsOf(values)) secrets.delete(form);
}

function formsOf(values: readonly (string | undefined)[]): string[] {
  return values.filter((value) => value !== undefined)
    .flatMap((value) => [value, encodeURIComponent(value)])
    .filter((form) => form.length >= MIN_LENGTH);
}

/** The password as it is written in a URL, also in one that is malformed, and decoded. */
export function passwordsOf(url: string | undefined): (string | undefined)[] {
  const [, written] = /^[a-z]+:\/\/[^/:@]*:(.*)@/i.exec(url ?? "") ?? [];
  if (written === undefined) return [];
  try {
    // A password with an unescaped "@" is cut there by some parsers: hide each part.
    return [written, decodeURIComponent(written), ...written.split("@")];
  } catch {
    return [written, ...written.split("@")];
  }
}

/** A user and password in a URL. */
const USER_INFO = /:\/\/[^\s/?#"'<>]*@/g;
/** A signature in a URL or header, which lets its reader send the request again. */
const SIGNATURE = /(signature(?:["':=\s]|%3D)+)[0-9a-f]{64}/gi;

/** Replaces every known secret, and what looks like one in a URL or header. */
export function redact(text: string): string {
  let shown = text;
  for (const secret of secrets) shown = shown.replaceAll(secret, "***");
  return shown.replace(USER_INFO, "://***@").replace(SIGNATURE, "$1***");
}
