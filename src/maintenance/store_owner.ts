/**
 * Compares a store's marker with the database, so that no command works on a store that belongs to
 * another database, is not mounted, or is newer than the database.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import { countUse, fitsBlobs, raiseCounter, readIdentity } from "../db/store_owner.ts";
import type { NamedBlob } from "../db/garbage.ts";
import { ConfigError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { createMarker, readMarker, writeMarker } from "../stream/store/store_marker.ts";
import { blobNames } from "./gc/blob_names.ts";

/** The blobs looked at in a store without a marker. */
const SAMPLE_BLOBS = 100;

/** A store and the database that may own it. */
export interface StoreAndDatabase {
  readonly db: Database;
  readonly store: BlobStore;
  readonly config: Pick<Config, "blobKey" | "objectKey">;
  readonly signal?: AbortSignal;
}

/**
 * `ours`: the marker names this database. `older-database`: it does, but with a larger counter, so
 * the database was restored from a backup. `foreign`: it names another database. `lost`: there is no
 * marker, but this database has marked a store. `unmarked`: neither has been marked.
 */
export type Ownership = "ours" | "older-database" | "foreign" | "lost" | "unmarked";

/** The store's marker and the database's identity, compared. */
export interface StoreOwner {
  readonly ownership: Ownership;
  readonly database: { readonly databaseId: string; readonly counter: number };
  readonly marker: { readonly databaseId: string; readonly counter: number } | undefined;
}

/** A store that belongs to the database. */
export interface ClaimedStore {
  readonly ownership: "ours" | "older-database";
  readonly databaseId: string;
}

/** Compares the store's marker with the database's identity. Changes nothing. */
export async function compareOwner(
  { db, store, signal }: Omit<StoreAndDatabase, "config">,
): Promise<StoreOwner> {
  const compare = async () => {
    // The marker first: it never has a larger counter than the database, which counts before it.
    const marker = await readMarker(store, { signal, shard: db.shard }),
      database = await readIdentity(db);
    return { database, marker, ownership: ownershipOf(database, marker) };
  };
  const owner = await compare();
  // Another process may have marked the store between the two reads.
  return owner.ownership === "lost" ? await compare() : owner;
}

function ownershipOf(
  database: StoreOwner["database"],
  marker: StoreOwner["marker"],
): Ownership {
  if (marker === undefined) return database.counter === 0 ? "unmarked" : "lost";
  if (marker.databaseId !== database.databaseId) return "foreign";
  return marker.counter > database.counter ? "older-database" : "ours";
}

/**
 * Makes sure that the store belongs to the database. Writes nothing.
 *
 * @throws {ConfigError} If the store belongs to another database, or has lost its marker.
 */
export async function checkOwner(parts: StoreAndDatabase): Promise<StoreOwner> {
  const owner = await compareOwner(parts);
  refuseOwner(parts, owner);
  if (owner.ownership === "unmarked") await refuseStranger(parts);
  return owner;
}

/**
 * Makes sure that the store belongs to the database, and marks it at the first use. To be called
 * before the first write, and now and then by a process that keeps writing: it counts the use, so
 * that a database that is restored from a backup is noticed.
 *
 * @returns `older-database` forbids to delete anything.
 * @throws {ConfigError} If the store belongs to another database, or has lost its marker.
 */
export async function claimStore(parts: StoreAndDatabase): Promise<ClaimedStore> {
  const { db, store, signal } = parts;
  const { ownership, database: { databaseId } } = await checkOwner(parts);
  if (ownership === "older-database") return { ownership, databaseId };
  if (ownership === "unmarked") {
    // The marker comes before the first count: a database that has counted and finds no marker says
    // that the store is lost, and it must not say so after a crash in between, or to a second worker.
    const marker = await createMarker(store, await readIdentity(db), { signal, shard: db.shard });
    const database = await readIdentity(db), now = ownershipOf(database, marker);
    refuseOwner(parts, { ownership: now, marker, database });
    if (now === "older-database") return { ownership: now, databaseId };
  }
  // From then on the database counts first: after a crash in between it is ahead, which is harmless.
  const counted = await countUse(db);
  if (counted !== undefined) await writeMarker(store, counted, { signal, shard: db.shard });
  return { ownership: "ours", databaseId };
}

/** Says that the database was restored from a backup. */
export function olderText({ db, store }: Pick<StoreAndDatabase, "db" | "store">): string {
  return `The database ${db.label} is older than the store ${store.url}: it was restored from a ` +
    `backup. Mpacks pushed since then are missing from it, and gc would delete them: ` +
    `"mpackd gc --dry-run" lists them. Index them again, then run "mpackd store adopt"`;
}

/** Makes the database the owner of the store, whatever the marker says. */
export async function adoptStore(
  { db, store, signal }: Omit<StoreAndDatabase, "config">,
): Promise<StoreOwner> {
  const marker = await readMarker(store, { signal, shard: db.shard });
  const database = await raiseCounter(db, marker?.counter ?? 0);
  await writeMarker(store, database, { signal, shard: db.shard });
  return { ownership: "ours", database, marker: database };
}

/** @throws {ConfigError} If the marker names another database, or is lost. */
export function refuseOwner(
  { db, store }: Pick<StoreAndDatabase, "db" | "store">,
  { ownership, marker, database }: StoreOwner,
): void {
  if (ownership === "foreign") {
    throw new ConfigError(
      `Cannot use the store ${store.url} with the database ${db.label}: the store belongs to the ` +
        `database ${marker!.databaseId}, and this is ${database.databaseId}. ${HOW_TO_ADOPT}`,
    );
  }
  if (ownership === "lost") {
    throw new ConfigError(
      `Cannot use the store ${store.url}: it has no marker, but the database ${db.label} has ` +
        `marked its store. Is it mounted? ${HOW_TO_ADOPT}`,
    );
  }
}

const HOW_TO_ADOPT = "Check MPACK_STORE and DATABASE_URL. If they belong together, run " +
  '"mpackd store adopt"';

/** Refuses a store without a marker whose blobs the database does not know, or that lacks them. */
async function refuseStranger(parts: StoreAndDatabase): Promise<void> {
  const { db, store } = parts;
  const blobs = await sampleBlobs(parts);
  if (await fitsBlobs(db, blobs)) return;
  const what = blobs.length > 0
    ? `it has mpacks but no marker, and the database ${db.label} knows none of them`
    : `it has no mpacks and no marker, but the database ${db.label} has indexed some`;
  throw new ConfigError(`Cannot use the store ${store.url}: ${what}. ${HOW_TO_ADOPT}`);
}

async function sampleBlobs({ store, config, signal }: StoreAndDatabase): Promise<NamedBlob[]> {
  const names = blobNames(config), blobs: NamedBlob[] = [];
  for (const prefix of names.prefixes) {
    for await (const { key } of store.list(prefix, { signal })) {
      const blob = names.read(key);
      if (blob !== undefined) blobs.push(blob);
      if (blobs.length >= SAMPLE_BLOBS) return blobs;
    }
  }
  return blobs;
}
