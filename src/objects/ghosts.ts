/**
 * Which of these ids can the repo not read?
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { type MissingOptions, missingRefs } from "../db/refs.ts";
import { isObjectId } from "../stream/mpack/mpack_decoder.ts";

/** Ids in one statement; more at a time would hold a connection longer and gain little. */
const IDS_PER_STATEMENT = 5_000;

/** Which ids to look for, and for whom. */
export interface GhostOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The repo whose refs count. Those of others make no difference. */
  readonly repoId: string;
  /** Object ids, as they were pushed. */
  readonly objectIds: Iterable<string>;
}

/**
 * The ids that the repo has no ref for: a push whose snapshots name one of them must be refused.
 *
 * @returns Each such id once, in the order given. What is no object id at all is among them.
 */
export async function findGhosts(options: GhostOptions): Promise<string[]> {
  return await missing(options, { isDamagedMissing: false });
}

/**
 * The ids whose objects a client should send: those the repo has no ref for, and those whose bytes
 * an audit found damaged, which heal by being sent again.
 *
 * @returns Each such id once, in the order given. What is no object id at all is among them.
 */
export async function filterMissing(options: GhostOptions): Promise<string[]> {
  return await missing(options, { isDamagedMissing: true });
}

async function missing(
  { db, repoId, objectIds }: GhostOptions,
  options: MissingOptions,
): Promise<string[]> {
  const found: string[] = [];
  const distinct = [...new Set(objectIds)];
  for (let at = 0; at < distinct.length; at += IDS_PER_STATEMENT) {
    const ids = distinct.slice(at, at + IDS_PER_STATEMENT);
    const absent = new Set(await missingRefs(db, repoId, ids.filter(isObjectId), options));
    found.push(...ids.filter((id) => absent.has(id) || !isObjectId(id)));
  }
  return found;
}
