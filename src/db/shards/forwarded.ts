/**
 * How the catalog's row of a job says that the job was forwarded to a shard.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { hasShards } from "./catalog.ts";

const WORKER = "shard ";

/** What the catalog's row names as its worker. */
export function forwardedTo(shard: string): string {
  return WORKER + shard;
}

/** How long a catalog is remembered to have no shards, or some. */
const MAX_AGE_MS = 5_000;

const seen = new WeakMap<Database, { readonly at: number; readonly has: Promise<boolean> }>();

/** A shard forwards nothing, and most catalogs have no shards: their lists shall cost no more. */
async function mayForward(db: Database): Promise<boolean> {
  if (db.shard !== undefined) return false;
  const now = performance.now();
  let known = seen.get(db);
  if (known === undefined || now - known.at > MAX_AGE_MS) {
    known = { at: now, has: hasShards(db) };
    seen.set(db, known);
    known.has.catch(() => seen.delete(db));
  }
  return await known.has;
}

/**
 * A condition in SQL: whether a job has a row in the shard of its repo, too. That one counts, because
 * it runs, and the catalog's row follows it, or does not any more.
 *
 * @param jobs The name of `musehub_background_jobs` in the statement.
 */
export async function isForwarded(db: Database, jobs: string): Promise<string> {
  if (!await mayForward(db)) return "false";
  return `(coalesce(starts_with(${jobs}.locked_by, '${WORKER}'), false) and exists (
    select from musehub_repos placed
    where placed.repo_id = ${jobs}.repo_id and placed.shard is not null))`;
}
