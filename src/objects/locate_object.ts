/**
 * Looks one object up.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { findLocation, findLocations, type ObjectLocation } from "../db/refs.ts";
import { ObjectError } from "../errors.ts";
import { isObjectId, otherSpelling } from "../lib/ids.ts";
import { refuseDamaged } from "./check_object.ts";

/** The error for an id that the repo has no ref for. It does not depend on other repos. */
export function notFound(objectId: string): ObjectError {
  const shown = isObjectId(objectId) ? objectId : JSON.stringify(objectId.slice(0, 100));
  return new ObjectError("object-not-found", `Cannot find object ${shown} in this repo`);
}

/**
 * Finds where an object's bytes are, through the repo's own ref. Does not read them.
 *
 * @throws {ObjectError} `object-not-found`, or `object-mismatch` if an audit found it damaged.
 */
export async function locateObject(
  { db, repoId, objectId }: {
    /** A database whose tables are there. */
    readonly db: Database;
    /** The repo that wants to read. */
    readonly repoId: string;
    /** `sha256:` and 64 hex digits, or the digits alone, whichever of them was pushed. */
    readonly objectId: string;
  },
): Promise<ObjectLocation> {
  if (!isObjectId(objectId)) throw notFound(objectId);
  const location = await findLocation(db, repoId, objectId) ??
    await findLocation(db, repoId, otherSpelling(objectId));
  return checkLocation(objectId, location && { ...location, objectId });
}

/**
 * Finds where objects' bytes are, in either spelling of their ids.
 *
 * @param objectIds Well-formed ids, some thousands at most.
 * @returns As `findLocations()`, with the ids as they were asked for.
 */
export async function locateMany(
  db: Database,
  repoId: string,
  objectIds: readonly string[],
): Promise<ObjectLocation[]> {
  const found = await findLocations(db, repoId, objectIds);
  if (found.length === objectIds.length) return found;
  const known = new Set(found.map(({ objectId }) => objectId));
  const others = new Map<string, string>();
  for (const id of objectIds) if (!known.has(id)) others.set(otherSpelling(id), id);
  if (others.size === 0) return found;
  for (const location of await findLocations(db, repoId, [...others.keys()])) {
    found.push({ ...location, objectId: others.get(location.objectId)! });
  }
  return found;
}

/**
 * Checks what was found of an object.
 *
 * @throws {ObjectError} as {@link locateObject}.
 */
export function checkLocation(
  objectId: string,
  location: ObjectLocation | undefined,
): ObjectLocation {
  if (location === undefined) throw notFound(objectId);
  refuseDamaged(location);
  return location;
}
