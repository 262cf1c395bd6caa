/**
 * Finds the object ids that a repo has no ref for.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { type MissingOptions, missingRefs } from "../db/refs.ts";
import { isObjectId } from "../lib/ids.ts";

/** Ids per statement. More would occupy a connection for longer and gain little. */
const IDS_PER_STATEMENT = 5_000;

/** Which ids to look for, and in which repo. */
export interface GhostOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The repo whose refs count. The refs of other repos make no difference. */
  readonly repoId: string;
  /** Object ids, as they were pushed. */
  readonly objectIds: Iterable<string>;
}

/**
 * Finds the ids that the repo has no ref for. A push whose snapshots name one of them is rejected.
 *
 * @returns Each such id once, in the order given, malformed ids included.
 */
export async function findGhosts(options: GhostOptions): Promise<string[]> {
  return await missing(options, { isDamagedMissing: false });
}

/**
 * Finds the ids whose objects a client should send: the repo has no ref for them, or an audit found
 * their bytes damaged. Pushing a damaged object again repairs it.
 *
 * @returns Each such id once, in the order given, malformed ids included.
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
