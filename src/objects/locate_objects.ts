/**
 * Looks many objects up, a page at a time.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { FIRST_STORED, listStored, type ObjectLocation } from "../db/refs.ts";
import { MpackdError } from "../errors.ts";
import { isObjectId } from "../lib/ids.ts";
import { locateMany, notFound } from "./locate_object.ts";
import { refuseDamaged } from "./check_object.ts";
import { prefetch } from "./prefetch.ts";

/**
 * Ids per statement in the order asked: few, so that the first bytes come soon. The next ones are
 * looked up meanwhile, by another process of the database.
 */
const ASKED_PAGE = 1_000, ASKED_AHEAD = 1;
/** Objects planned together in stored order: many, for few requests. About 20 MB of memory. */
const STORED_PAGE = 50_000;

export interface LocationOptions {
  readonly db: Database;
  readonly repoId: string;
  /** Default: every object that the repo can read. */
  readonly objectIds?: Iterable<string> | AsyncIterable<string>;
  /** `stored` allows long pages. */
  readonly order?: "asked" | "stored";
}

/** One page of objects. */
export interface LocationPage {
  /** The readable objects, in the order asked. */
  readonly found: readonly ObjectLocation[];
  /** The objects that cannot be read. */
  readonly refused: readonly { readonly error: MpackdError; readonly objectId: string }[];
}

/** Looks the objects up. A page is read when the consumer asks for it. */
export async function* locateObjects(
  options: LocationOptions,
): AsyncGenerator<LocationPage, void, undefined> {
  const { db, repoId, objectIds, order } = options;
  if (objectIds === undefined) return yield* allPages(db, repoId);
  const isStored = order === "stored";
  const pages = idPages(objectIds, isStored ? STORED_PAGE : ASKED_PAGE);
  const start = (ids: readonly string[]) => ({ contents: pageOf(db, repoId, ids) });
  for await (const { contents } of prefetch(pages, start, isStored ? 0 : ASKED_AHEAD)) {
    yield await contents;
  }
}

async function* idPages(ids: Iterable<string> | AsyncIterable<string>, pageIds: number) {
  if (Array.isArray(ids)) {
    for (let at = 0; at < ids.length; at += pageIds) yield ids.slice(at, at + pageIds);
    return;
  }
  let page: string[] = [];
  for await (const id of ids) {
    if (page.push(id) < pageIds) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

async function* allPages(db: Database, repoId: string) {
  let after = FIRST_STORED;
  for (;;) {
    const rows = await listStored(db, repoId, { after, limit: STORED_PAGE });
    yield separate(rows.map((location) => ({ objectId: location.objectId, location })));
    if (rows.length < STORED_PAGE) return;
    after = rows[rows.length - 1];
  }
}

async function pageOf(db: Database, repoId: string, ids: readonly string[]): Promise<LocationPage> {
  const locations = await locateMany(db, repoId, ids.filter(isObjectId));
  const byId = new Map(locations.map((location) => [location.objectId, location]));
  return separate(ids.map((objectId) => ({ objectId, location: byId.get(objectId) })));
}

function separate(
  asked: readonly { objectId: string; location: ObjectLocation | undefined }[],
): LocationPage {
  const found: ObjectLocation[] = [], refused: { error: MpackdError; objectId: string }[] = [];
  for (const { objectId, location } of asked) {
    try {
      if (location === undefined) throw notFound(objectId);
      refuseDamaged(location);
      found.push(location);
    } catch (error) {
      if (!(error instanceof MpackdError)) throw error;
      refused.push({ error, objectId });
    }
  }
  return { found, refused };
}
