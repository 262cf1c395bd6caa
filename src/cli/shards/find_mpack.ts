/**
 * Finds mpacks that a user names by the beginning of their keys, in any shard.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { ambiguous, findId } from "../../db/find_ids.ts";
import { findBlobOf } from "../../db/packs.ts";
import type { Shard } from "../../db/shards/shard.ts";
import { ConfigError } from "../../errors.ts";
import { isMpackKey } from "../../lib/ids.ts";
import type { OpenedDatabase } from "../resources.ts";
import { findInShards, notEverywhere } from "./all_shards.ts";

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
