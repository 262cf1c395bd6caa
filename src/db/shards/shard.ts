/**
 * What a shard is: a schema with mpackd's tables in which repos live, here or on another server.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";

/** The name of the catalog, where a shard's name is asked for. */
export const CATALOG = "catalog";

/** `open`: gets new repos. `drained`: gets none. `moving`: its writers wait. */
export type ShardState = "open" | "drained" | "moving";

/** Where the rows of a repo are. */
export interface RepoHome {
  /** The shard's name. */
  readonly shard: string;
  /** The version of its row in the catalog: a later one may have another URL. */
  readonly version: number;
}

/** A shard, as the catalog knows it. */
export interface Shard {
  /** Its name, in lower case. */
  readonly name: string;
  /** As it was given: {@link shardUrl} completes it. It may hold a password. */
  readonly url: string;
  /** A standby for reads. */
  readonly replicaUrl: string | null;
  /** The store of its own; null: the catalog's. */
  readonly storeUrl: string | null;
  /** Whether it gets new repos. */
  readonly state: ShardState;
  /** Raised with each change of its URL, from 1. */
  readonly version: number;
  /** When it was added to the catalog. */
  readonly addedAt: Date;
}

const NAME = /^[a-z][a-z0-9_-]{0,49}$/;
/** `all` and `catalog` mean something else where shards are named. */
const RESERVED = ["all", CATALOG];

/**
 * Makes sure that a text can name a shard.
 *
 * @throws {ConfigError} If it cannot.
 */
export function requireShardName(text: string): string {
  if (NAME.test(text) && !RESERVED.includes(text)) return text;
  throw new ConfigError(
    `Cannot use ${JSON.stringify(text.slice(0, 100))} as a shard's name: it is not 1 to 50 ` +
      `lower-case letters, digits, dashes and underscores, or it is ${RESERVED.join(" or ")}`,
  );
}

/**
 * The URL to connect to. What it lacks is the catalog's: user and password, or all but the words
 * of one that begins with `?`, which is a schema of the catalog's own database.
 *
 * @throws {ConfigError} If it is not such a URL.
 */
export function shardUrl(url: string, catalogUrl: string): string {
  if (url.startsWith("?")) {
    const [place, words = ""] = splitOnce(catalogUrl, "?");
    const all = new URLSearchParams(words);
    for (const [word, value] of new URLSearchParams(url)) all.set(word, value);
    // Its synonym would win over it.
    if (all.has("search_path")) all.delete("schema");
    return `${place}?${all}`;
  }
  const [, scheme, user, rest] = /^(postgres(?:ql)?:\/\/)(?:([^/?#]*)@)?(.*)$/s.exec(url) ?? [];
  if (scheme === undefined) {
    throw new ConfigError(
      'Cannot use a shard\'s URL: it begins neither with postgres:// nor with "?search_path="',
    );
  }
  if (user !== undefined) return url;
  const [, catalogUser] = /^\w+:\/\/([^/?#]*)@/.exec(catalogUrl) ?? [];
  return catalogUser === undefined ? url : `${scheme}${catalogUser}@${rest}`;
}

/** The URL of a standby: what it lacks is that of its primary, and any kind of server will do. */
export function standbyUrl(url: string, primaryUrl: string): string {
  const [place, words = ""] = splitOnce(shardUrl(url, primaryUrl), "?");
  const all = new URLSearchParams(splitOnce(primaryUrl, "?")[1] ?? "");
  for (const word of ["host", "port", "target_session_attrs"]) all.delete(word);
  for (const [word, value] of new URLSearchParams(words)) all.set(word, value);
  if (!all.has("target_session_attrs")) all.set("target_session_attrs", "any");
  return `${place}?${all}`;
}

function splitOnce(text: string, at: string): string[] {
  const index = text.indexOf(at);
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)];
}
