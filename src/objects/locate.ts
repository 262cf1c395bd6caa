/**
 * From (repo, id) to a location that may be read.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { findLocation, type ObjectLocation } from "../db/refs.ts";
import { ObjectError } from "../errors.ts";
import { isObjectId } from "../stream/mpack/mpack_decoder.ts";
import { refuseDamaged } from "./verify.ts";

/** The error for an id that the repo cannot read, whatever other repos hold. */
export function notFound(objectId: string): ObjectError {
  const shown = isObjectId(objectId) ? objectId : JSON.stringify(objectId.slice(0, 100));
  return new ObjectError("object-not-found", `Cannot find object ${shown} in this repo`);
}

/**
 * Looks up where an object of a repo lies, through the repo's own ref; reads none of its bytes.
 *
 * @throws {ObjectError} `object-not-found`, or `object-mismatch` if the object is known as damaged.
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
  const location = await findLocation(db, repoId, objectId);
  if (location === undefined) throw notFound(objectId);
  refuseDamaged(location);
  return location;
}
