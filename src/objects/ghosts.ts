/**
 * Finds the object ids that a repo has no ref for.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { knownRefs, type MissingOptions } from "../db/refs.ts";
import { isObjectId } from "../lib/ids.ts";

/** Ids per statement. More would occupy a connection, and the event loop, for longer. */
const IDS_PER_STATEMENT = 10_000;

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
  const found = new Set<string>(), pages = pagesOf(objectIds);
  const ask = () => {
    const { done, value: ids } = pages.next();
    return done
      ? undefined
      : { ids, known: knownRefs(db, repoId, ids.filter(isObjectId), options) };
  };
  for (let asked = ask(); asked !== undefined;) {
    const { ids } = asked, known = await asked.known;
    // The database looks for the next ones meanwhile.
    asked = ask();
    for (const id of ids) if (!known.has(id)) found.add(id);
  }
  return [...found];
}

function* pagesOf(ids: Iterable<string>): Generator<string[], undefined> {
  let page: string[] = [];
  for (const id of ids) {
    if (page.push(id) < IDS_PER_STATEMENT) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
