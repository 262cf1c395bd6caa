/**
 * What is probably not meant in a valid pack.
 *
 * @module
 */

const TEXTS = {
  "no-manifest": "no manifest names the objects: they are read by id, not as files",
} as const;

type PackWarning = keyof typeof TEXTS;

/** The warnings of a pack with these counts. */
export function packWarnings(
  { objects, snapshots }: { readonly objects: number; readonly snapshots: number },
): PackWarning[] {
  return objects > 0 && snapshots === 0 ? ["no-manifest"] : [];
}

/** A warning for people. A code of a later version is its own text. */
export function warningText(code: string): string {
  return Object.hasOwn(TEXTS, code) ? TEXTS[code as PackWarning] : code;
}
