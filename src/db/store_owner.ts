/**
 * The database's side of the store's marker: its identity, and what it knows of a store.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Database } from "./client/database.ts";
import type { NamedBlob } from "./garbage.ts";

/** Uses within this time are counted once. */
const COUNT_EVERY = "1 minute";

/** What the marker of this database's store says. */
export interface DatabaseIdentity {
  readonly databaseId: string;
  /** 0 until a store has been marked. */
  readonly counter: number;
}

/** Reads the identity of the database. */
export async function readIdentity(db: Database): Promise<DatabaseIdentity> {
  const [row] = await db.query<DatabaseIdentity>("read the database's identity")`
    select database_id as "databaseId", counter from mpackd_database`;
  if (row !== undefined) return row;
  throw new ConfigError(`Cannot use ${db.label}: mpackd_database is empty`);
}

/**
 * Counts a use.
 *
 * @returns The new identity; undefined if a use was counted less than a minute ago.
 */
export async function countUse(db: Database): Promise<DatabaseIdentity | undefined> {
  const [row] = await db.query<DatabaseIdentity>("count a use of the store")`
    update mpackd_database set counter = counter + 1, counted_at = now()
    where counted_at is null or counted_at < now() - ${COUNT_EVERY}::interval
    returning database_id as "databaseId", counter`;
  return row;
}

/** Raises the counter above a store's, so that the database owns the store from now on. */
export async function raiseCounter(db: Database, above: number): Promise<DatabaseIdentity> {
  const [row] = await db.query<DatabaseIdentity>("adopt a store")`
    update mpackd_database set counter = greatest(counter, ${above}::bigint) + 1, counted_at = now()
    returning database_id as "databaseId", counter`;
  return row;
}

/**
 * Whether these blobs of a store without a marker fit the database: it has a row about one of them
 * (a repo, an mpack, an object or a job) or, if there are none, it has indexed no mpack.
 */
export async function fitsBlobs(db: Database, blobs: readonly NamedBlob[]): Promise<boolean> {
  const [{ fits }] = await db.query<{ fits: boolean }>("look for rows about a store's blobs")`
    with u as (
      select * from jsonb_to_recordset(${JSON.stringify(blobs)}::text::jsonb)
        as u(key text, pack_repo text, mpack_key text, object_repo text, object_id text)
    )
    select case when ${blobs.length === 0}::boolean
      then not exists (select from musehub_mpacks where blob_key is not null)
      else exists (select from u
        where exists (select from musehub_repos r where r.repo_id in (u.pack_repo, u.object_repo))
          or exists (select from musehub_mpacks p where p.blob_key = u.key)
          or exists (select from musehub_objects o
            where o.object_id in (u.object_id, substr(u.object_id, 8)))
          or exists (select from musehub_background_jobs j where j.job_type = 'mpack.index'
            and mpackd_mpack_key(j.payload::text) = u.mpack_key))
      end as fits`;
  return fits;
}
