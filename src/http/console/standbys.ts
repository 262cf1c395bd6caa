/**
 * Where pages read their rows: on the standby, if there is one. Who has changed something sees the
 * change, because a cookie says what the standby has to have.
 *
 * @module
 */

import { currentLsn, isLsn } from "../../db/client/replica.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import type { ApiContext } from "../context.ts";

/** The cookie's name. Whoever forges it sees older rows of his own. */
export const WRITTEN_COOKIE = "mpackd_written";
/** However old the state is. */
const ANY = "0/0";
/** Behind everything. */
const NONE = "FFFFFFFF/FFFFFFFF";
/** More do not fit into a cookie: then all are read on their primaries. */
const MOST_PLACES = 40;
const ALL = "*";

/** What a session has written: a position in the log of each place, by its name. */
export class Written {
  readonly #positions: Map<string, string>;

  private constructor(positions: Map<string, string>) {
    this.#positions = positions;
  }

  /** Reads the cookie's value. What is no such value says nothing. */
  static of(cookie: string | undefined): Written {
    const positions = new Map<string, string>();
    for (const part of (cookie ?? "").split(",").slice(0, MOST_PLACES)) {
      const [name, lsn] = part.split(":");
      if (lsn !== undefined && isLsn(lsn)) positions.set(name, lsn);
    }
    return new Written(positions);
  }

  /** Notes what was written in places that have standbys. */
  async note(places: Iterable<ApiContext>): Promise<void> {
    await Promise.all([...places].map(async (place) => {
      if (place.replica === undefined) return;
      // Its server may have gone away just now.
      this.#positions.set(nameOf(place), await currentLsn(place.db).catch(() => NONE));
    }));
    if (this.#positions.size <= MOST_PLACES) return;
    this.#positions.clear();
    this.#positions.set(ALL, NONE);
  }

  /** The cookie's value; undefined if nothing was written. */
  get cookie(): string | undefined {
    if (this.#positions.size === 0) return undefined;
    return [...this.#positions].map(([name, lsn]) => `${name}:${lsn}`).join(",");
  }

  /** What the standby of a place has to have. */
  after(place: ApiContext): string {
    return this.#positions.get(ALL) ?? this.#positions.get(nameOf(place)) ?? ANY;
  }
}

/** The places of one page. */
export class PageReads {
  readonly #written: Written;
  /** Each is asked once. */
  readonly #places = new Map<ApiContext, Promise<ApiContext>>();
  /** How old what the page shows may be, in milliseconds; undefined: it is of primaries. */
  behindMs: number | undefined;

  constructor(written: Written) {
    this.#written = written;
  }

  /** The place with the database to read. */
  at(place: ApiContext): Promise<ApiContext> {
    const known = this.#places.get(place) ?? this.#open(place);
    this.#places.set(place, known);
    return known;
  }

  async #open(place: ApiContext): Promise<ApiContext> {
    if (place.replica === undefined) return place;
    const { db, behindMs } = await place.replica.reading(this.#written.after(place));
    if (behindMs === undefined) return place;
    this.behindMs = Math.max(this.behindMs ?? 0, behindMs);
    return { ...place, db };
  }
}

function nameOf({ db }: ApiContext): string {
  return db.shard ?? CATALOG;
}
