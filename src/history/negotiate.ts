/**
 * Finds what two sides have in common, before a fetch.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { findGenerations, firstAncestor } from "../db/history/ancestors.ts";
import { HistoryError } from "../errors.ts";
import { distinct } from "../lib/sleep.ts";

/** Ids per statement. */
const PAGE_IDS = 5_000;
/** So many of the newest commits in common are compared with the wanted ones. */
const MAX_COMPARED = 8;

/** What two sides have in common. */
export interface Negotiation {
  /** Those of `have` that the repo has, in the order given. */
  readonly ack: readonly string[];
  /** The newest of them that a wanted commit builds upon. */
  readonly commonBase: string | undefined;
  /**
   * Whether a fetch with `have` = `ack` sends what is new and not the whole history. If not, the
   * client should name other commits.
   */
  readonly ready: boolean;
}

/**
 * Compares commits that a client has with those that it wants.
 *
 * @throws {HistoryError} `history-not-found` if the repo does not have a wanted commit with all its
 * ancestors.
 * @throws {DatabaseError} If the database is unavailable.
 */
export async function negotiate(
  { db, repoId, want, have }: {
    /** A database whose tables are there. */
    readonly db: Database;
    readonly repoId: string;
    /** Well-formed ids. */
    readonly want: readonly string[];
    /** Well-formed ids. Those that the repo does not know are ignored. */
    readonly have: readonly string[];
  },
): Promise<Negotiation> {
  const wanted = new Set((await connected(db, repoId, want)).map(({ commitId }) => commitId));
  for (const id of want) if (!wanted.has(id)) throw unknown(id);
  const common = await connected(db, repoId, have);
  const known = new Set(common.map(({ commitId }) => commitId));
  common.sort((one, other) => other.generation - one.generation);
  const commonBase = common.length === 0 ? undefined : await firstAncestor(db, repoId, {
    ofIds: [...wanted],
    commitIds: common.slice(0, MAX_COMPARED).map(({ commitId }) => commitId),
  });
  return {
    ack: have.filter((id) => known.has(id)),
    commonBase,
    ready: have.length === 0 || commonBase !== undefined,
  };
}

async function connected(db: Database, repoId: string, ids: readonly string[]) {
  const found: { readonly commitId: string; readonly generation: number }[] = [];
  const distinctIds = [...await distinct(ids)];
  for (let at = 0; at < distinctIds.length; at += PAGE_IDS) {
    const page = await findGenerations(db, repoId, distinctIds.slice(at, at + PAGE_IDS));
    for (const row of page) found.push(row);
  }
  return found;
}

function unknown(commitId: string): HistoryError {
  return new HistoryError(
    "history-not-found",
    `Cannot find commit ${commitId} with all its ancestors in this repo`,
  );
}
