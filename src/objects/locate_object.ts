/**
 * Looks one object up.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { findLocation, type ObjectLocation } from "../db/refs.ts";
import { ObjectError } from "../errors.ts";
import { isObjectId } from "../lib/ids.ts";
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
    /** The id as it was pushed: `sha256:` and 64 hex digits, or the digits alone. */
    readonly objectId: string;
  },
): Promise<ObjectLocation> {
  if (!isObjectId(objectId)) throw notFound(objectId);
  return checkLocation(objectId, await findLocation(db, repoId, objectId));
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
