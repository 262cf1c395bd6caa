/**
 * A repo's refs: which objects it may read, and where their bytes lie.
 *
 * Every statement here asks for one repo's refs and nothing else. What other repos hold must make
 * no difference to any answer: knowing an id is not having the object.
 *
 * @module
 */

import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** Where one object of one repo lies. */
export interface ObjectLocation {
  /** The id as the pack spelled it. */
  readonly objectId: string;
  /** The mpack that holds the bytes; it was pushed to the same repo. */
  readonly mpackKey: string;
  /** The mpack's key in the store. */
  readonly blobKey: string;
  /** The version of the blob that was indexed, for If-Match. */
  readonly etag: string;
  /** First byte of the content in the mpack. */
  readonly contentOffset: number;
  /** Length of the content in bytes. */
  readonly sizeBytes: number;
  /** When the bytes were found not to be the object's; null while they are believed. */
  readonly damagedAt: Date | null;
}

/**
 * Finds where objects of a repo lie, in one statement.
 *
 * @param objectIds Well-formed ids, some thousands at most.
 * @returns The locations in no order; none for an id that the repo has no ref for, and none for a
 * ref that another program wrote without saying where the bytes lie.
 */
export async function findLocations(
  database: Database,
  repoId: string,
  objectIds: readonly string[],
): Promise<ObjectLocation[]> {
  const { sql } = database;
  return await execute(
    database,
    sql<ObjectLocation[]>`
      select ${columns(sql)}
      from musehub_object_refs r
      join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
      where r.repo_id = ${repoId} and r.object_id = any(${arrayLiteral(objectIds)}::text[])
        and ${isLocated(sql)}`,
    { action: "look objects up" },
  );
}

/**
 * Finds where one object of a repo lies; otherwise as {@link findLocations}.
 *
 * A statement of its own: one that takes an array is planned anew at each execution, because ten ids
 * are assumed where one is given. Measured at the median over 100,000 refs: 0.18 ms and 0.10 ms.
 */
export async function findLocation(
  database: Database,
  repoId: string,
  objectId: string,
): Promise<ObjectLocation | undefined> {
  const { sql } = database;
  const [location] = await execute(
    database,
    sql<ObjectLocation[]>`
      select ${columns(sql)}
      from musehub_object_refs r
      join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
      where r.repo_id = ${repoId} and r.object_id = ${objectId} and ${isLocated(sql)}`,
    { action: "look an object up" },
  );
  return location;
}

/** Where a page of a repo's objects ended. */
export interface StoredPosition {
  /** The mpack, by its short name. */
  readonly mpackId: number;
  /** The last content's first byte in it. */
  readonly contentOffset: number;
}

/** Before the first object of a repo. */
export const FIRST_STORED: StoredPosition = { mpackId: -1, contentOffset: -1 };

/**
 * One page of all the objects a repo can read, mpack by mpack in the order of their bytes.
 *
 * There is no index in this order: each page reads the repo's refs once, which costs less than
 * reading the packs in another order would, and less than one more index costs every publish.
 *
 * @param options.after Where the page before ended.
 * @param options.limit How many at most.
 */
export async function listStored(
  database: Database,
  repoId: string,
  { after, limit }: { readonly after: StoredPosition; readonly limit: number },
): Promise<(ObjectLocation & StoredPosition)[]> {
  const { sql } = database;
  return await execute(
    database,
    sql<(ObjectLocation & StoredPosition)[]>`
      select ${columns(sql)}, r.mpack_id as "mpackId"
      from musehub_object_refs r
      join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
      where r.repo_id = ${repoId} and ${isLocated(sql)}
        and (r.mpack_id, r.content_offset)
          > (${after.mpackId}::bigint, ${after.contentOffset}::bigint)
      order by r.mpack_id, r.content_offset limit ${limit}::bigint`,
    { action: "list a repo's objects" },
  );
}

function columns(sql: Database["sql"]) {
  return sql`r.object_id as "objectId", m.mpack_key as "mpackKey", m.blob_key as "blobKey",
    m.etag, r.content_offset as "contentOffset", r.size_bytes as "sizeBytes",
    r.damaged_at as "damagedAt"`;
}

function isLocated(sql: Database["sql"]) {
  return sql`r.content_offset is not null and r.size_bytes is not null
    and m.blob_key is not null and m.etag is not null`;
}

/** Which answer to "which of these has the repo not?" is wanted. */
export interface MissingOptions {
  /** Whether a ref whose bytes are damaged counts as missing: it heals by being sent again. */
  readonly isDamagedMissing: boolean;
}

/**
 * The ids, in the order given and each once, that the repo has no ref for; one statement.
 *
 * @param objectIds Well-formed ids, some thousands at most.
 */
export async function missingRefs(
  database: Database,
  repoId: string,
  objectIds: readonly string[],
  { isDamagedMissing }: MissingOptions,
): Promise<string[]> {
  if (objectIds.length === 0) return [];
  const rows = await execute(
    database,
    database.sql<{ id: string }[]>`
      select object_id as id from musehub_object_refs
      where repo_id = ${repoId} and object_id = any(${arrayLiteral(objectIds)}::text[])
        and not (${isDamagedMissing}::boolean and damaged_at is not null)`,
    { action: "look for missing objects" },
  );
  const held = new Set(rows.map(({ id }) => id));
  return [...new Set(objectIds)].filter((id) => !held.has(id));
}
