/**
 * Finds the objects and mpacks that a user names by the beginning of their ids.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { ambiguous, findId } from "../db/find_ids.ts";
import { findBlobOf } from "../db/packs.ts";
import type { Shard } from "../db/shards/shard.ts";
import { ConfigError, ObjectError } from "../errors.ts";
import { isMpackKey, isObjectId } from "../lib/ids.ts";
import type { OpenedDatabase } from "./resources.ts";
import { findInShards, notEverywhere } from "./shards/all_shards.ts";

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

/**
 * The key that a text stands for, of the mpacks in all shards or in the chosen one.
 *
 * @throws {ConfigError} If no key begins so, or several do.
 * @throws {DatabaseError} If none was found, and a shard does not answer.
 */
export async function mpackKeyAnywhere(
  opened: Pick<OpenedDatabase, "shards">,
  text: string,
  options: { readonly shard?: string } = {},
): Promise<string> {
  if (isMpackKey(text)) return text;
  const look = (db: Database) => findId(db, { kind: "mpack" }, text);
  const { found, unreachable } = await findInShards(opened, look, options);
  const keys = [...new Set(found.map(({ answer }) => answer))];
  if (keys.length > 1) throw ambiguous("mpack", text, keys);
  if (keys.length === 0) throw noSuchMpack(text, unreachable);
  return keys[0];
}

/**
 * Finds the blob of an mpack in any shard, by its key or how that begins.
 *
 * @throws As {@link mpackKeyAnywhere}.
 */
export async function findBlobAnywhere(
  opened: Pick<OpenedDatabase, "shards">,
  text: string,
): Promise<
  { readonly mpackKey: string; readonly blobKey: string; readonly shard: Shard | undefined }
> {
  const mpackKey = await mpackKeyAnywhere(opened, text);
  const { found, unreachable } = await findInShards(opened, async (db, { shard }) => {
    const blobKey = await findBlobOf(db, mpackKey);
    return blobKey === undefined ? undefined : { mpackKey, blobKey, shard };
  });
  if (found.length === 0) throw noSuchMpack(text, unreachable);
  return found[0].answer;
}

/** The error of a key, or of its beginning, that no mpack has. */
export function noSuchMpack(text: string, unreachable: readonly string[] = []): Error {
  const what = `Cannot find mpack ${JSON.stringify(text.slice(0, 100))}`;
  if (unreachable.length > 0) return notEverywhere(what, unreachable);
  const why = isMpackKey(text)
    ? "no indexed mpack has this key, where it was looked for"
    : "no key begins so";
  return new ConfigError(`${what}: ${why} ("mpackd packs --repo OWNER/SLUG" lists them)`);
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
