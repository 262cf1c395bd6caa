/**
 * Finds ids by how they begin, as git does.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { digestOf } from "../lib/ids.ts";
import type { Database } from "./client/database.ts";

/** What can be named by the beginning of its id. */
export type IdKind = "object" | "mpack" | "commit" | "job";

/** A shorter beginning than four characters names too many. */
const PREFIX = /^(?:sha256:)?[0-9a-f]{4,64}$/;
/** Other programs choose their own ids for jobs. */
const JOB_PREFIX = /^[A-Za-z0-9:._-]{4,200}$/;
/** Comes after every character of an id. */
const LAST = "~";
/** Ids that an error names. */
const SHOWN = 5;

/** Where to look. Jobs are looked for in all repos. */
export interface IdPlace {
  readonly kind: IdKind;
  /** Not for jobs. */
  readonly repoId?: string;
}

/**
 * Finds ids that begin so, in either spelling: with `sha256:` or without. Reads no more rows than it
 * returns, because each spelling is a range of an index.
 */
export async function idsBeginning(
  db: Database,
  { kind, repoId }: IdPlace,
  { prefix, limit }: { readonly prefix: string; readonly limit: number },
): Promise<string[]> {
  if (!(kind === "job" ? JOB_PREFIX : PREFIX).test(prefix)) return [];
  const { sql } = db, digits = digestOf(prefix);
  const tables = {
    object: sql`musehub_object_refs`,
    mpack: sql`musehub_mpacks`,
    commit: sql`musehub_commit_refs`,
    job: sql`musehub_background_jobs`,
  };
  const columns = {
    object: sql`object_id`,
    mpack: sql`mpack_key`,
    commit: sql`commit_id`,
    job: sql`job_id`,
  };
  const table = tables[kind], column = columns[kind];
  const isOfRepo = repoId === undefined ? sql`true` : sql`repo_id = ${repoId}`;
  const range = (first: string) =>
    sql`(select ${column} as id from ${table} where ${isOfRepo}
      and ${column} collate "C" >= ${first} and ${column} collate "C" < ${first + LAST}
      order by ${column} collate "C" limit ${limit}::bigint)`;
  const rows = await db.query<{ id: string }>(`find ${withArticle(kind)}`)`
    select id from (${range(`sha256:${digits}`)} union all ${range(digits)}) as found
    order by id collate "C" limit ${limit}::bigint`;
  return rows.map(({ id }) => id);
}

/**
 * Finds the one id that begins so. If it was written in both spellings, that with the prefix counts,
 * unless the text is the other one.
 *
 * @returns Undefined if none does.
 * @throws {ConfigError} If several do; names some of them.
 */
export async function findId(
  db: Database,
  place: IdPlace,
  text: string,
): Promise<string | undefined> {
  const limit = 2 * SHOWN + 1;
  const ids = await idsBeginning(db, place, { prefix: text, limit });
  if (ids.includes(text)) return text;
  // The spelling with the prefix comes last.
  const byDigest = new Map(ids.map((id) => [digestOf(id), id]));
  if (byDigest.size <= 1) return ids.at(-1);
  throw ambiguous(place.kind, text, [...byDigest.values()]);
}

/** The error of a beginning that several ids have. */
export function ambiguous(kind: IdKind, text: string, ids: readonly string[]): ConfigError {
  return new ConfigError(
    `Cannot tell which ${kind} ${text} is: ${ids.slice(0, SHOWN).join(", ")}` +
      `${ids.length > SHOWN ? ", …" : ""} begin so; give more digits`,
  );
}

function withArticle(kind: IdKind): string {
  return kind === "object" ? "an object" : kind === "mpack" ? "an mpack" : `a ${kind}`;
}
