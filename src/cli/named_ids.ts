/**
 * Finds the objects and mpacks that a user names by the beginning of their ids.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { findId } from "../db/find_ids.ts";
import { ConfigError, ObjectError } from "../errors.ts";
import { isMpackKey, isObjectId } from "../lib/ids.ts";

/**
 * The object id that a text stands for: a whole id as it is, or the one in the repo that begins so.
 *
 * @throws {ConfigError} If several ids begin so.
 * @throws {ObjectError} `object-not-found` if none does.
 */
export async function objectIdOf(db: Database, repoId: string, text: string): Promise<string> {
  if (isObjectId(text)) return text;
  const found = await findId(db, { kind: "object", repoId }, text);
  if (found !== undefined) return found;
  throw new ObjectError(
    "object-not-found",
    `Cannot find object ${JSON.stringify(text.slice(0, 100))}: no id of this repo begins so ` +
      '("mpackd ls" lists them; the beginning of one has four digits or more)',
  );
}

/**
 * The key that a text stands for, of a repo's mpacks.
 *
 * @throws {ConfigError} If no key begins so, or several do.
 */
export async function mpackKeyOf(
  db: Database,
  repoId: string,
  text: string,
): Promise<string> {
  if (isMpackKey(text)) return text;
  const key = await findId(db, { kind: "mpack", repoId }, text);
  if (key !== undefined) return key;
  throw new ConfigError(
    `Cannot find mpack ${JSON.stringify(text.slice(0, 100))}: no key of this repo begins so ` +
      '("mpackd packs" lists them)',
  );
}

const BEGINS_LIKE_KEY = /^sha256:[0-9a-f]{4,63}$/;
const DIGITS = /^[0-9a-f]{4,64}$/;

/** Whether a source is meant as the beginning of a key, not as a file. */
export async function isShortKey(text: string): Promise<boolean> {
  if (BEGINS_LIKE_KEY.test(text)) return true;
  if (!DIGITS.test(text)) return false;
  // A file of such a name counts first.
  return await Deno.stat(text).then(() => false, (error) => {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  });
}
