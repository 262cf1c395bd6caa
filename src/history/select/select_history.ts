/**
 * Finds all that a fetch or a bundle sends: commits, their snapshots, and the objects that these name.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { type CommitRow, findCommits } from "../../db/history/commits.ts";
import { findSnapshots, type SnapshotRow } from "../../db/history/snapshots.ts";
import {
  deleteWalk,
  sortObjects,
  sortSnapshots,
  type WalkKind,
} from "../../db/history/walk_ids.ts";
import { inStoredOrder } from "../../db/history/places.ts";
import { findLocations, type ObjectLocation } from "../../db/refs.ts";
import { HistoryError, ObjectError } from "../../errors.ts";
import { DigestSet } from "../../lib/digest_set.ts";
import { trimHeap } from "../../lib/heap.ts";
import { refuseDamaged } from "../../objects/check_object.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { walkDifference } from "../walk_difference.ts";
import type { ByteBudget } from "./byte_budget.ts";
import { byPosition } from "../../objects/plan_reads.ts";
import { Ids, lost, PAGE_IDS, type Pages, pagesInDatabase, pagesInMemory } from "./id_pages.ts";
import { ManifestCache } from "./manifest_cache.ts";
import { type ScannedSnapshot, scanSnapshots, type VisitId } from "./scan_snapshots.ts";
import { snapshotRecordBytes } from "../records/snapshot_record.ts";

/** Rows of each kind kept in memory; the ids of all go to the database when there are more. */
const MAX_IDS = 20_000;
/** So many snapshots of `have` are read, and ids kept of them, for objects that need not be sent. */
const MAX_EDGES = 16, MAX_THERE = 200_000;
/** Of an object besides its content: keys, id and headers. */
const OBJECT_BYTES = 1 + "object_id".length + 1 + 2 + 71 + "content".length + 1 + 5;

/** What to send. */
export interface SelectOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store of the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** Well-formed ids of the commits to send, with all their ancestors. */
  readonly want: readonly string[];
  /**
   * Well-formed ids of commits that are there, with all their ancestors and objects. Those that the
   * repo does not have are ignored.
   */
  readonly have: readonly string[];
  /** Rows of each kind kept in memory, of some 300 bytes. Default 20,000. */
  readonly maxIds?: number;
  /** The most plain bytes of one encoded object. Default 4 GiB. */
  readonly maxContentBytes?: number;
  /** Ends the work with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** All that is to be sent. Dispose of it: it may have rows in the database. */
export interface HistorySelection extends AsyncDisposable {
  /** Children before parents. */
  readonly commits: Pages<CommitRow>;
  /** In the order of their bytes in the store. */
  readonly snapshots: Pages<SnapshotRow>;
  /** Each once; not known to be damaged. */
  readonly objects: Pages<ObjectLocation>;
  /** Snapshots that are deltas over nothing. */
  readonly overNothing: DigestSet;
}

/**
 * Finds what is to be sent. The ids of snapshots are checked on the way, and all records and objects
 * counted against the budget. Memory is bounded, however long the history is.
 *
 * @throws {HistoryError} `history-not-found`, `record-mismatch` or `fetch-too-large`.
 * @throws {ObjectError} If an object is missing or damaged.
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function selectHistory(
  options: SelectOptions,
  budget: ByteBudget,
): Promise<HistorySelection> {
  const { db } = options, walkId = crypto.randomUUID();
  let isSpilled = false;
  const close = async () => isSpilled ? await deleteWalk(db, walkId) : undefined;
  try {
    const onSpill = () => isSpilled = true;
    const found = await new Selector(options, budget, { walkId, onSpill }).run();
    return { ...found, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
}

interface Spilling {
  readonly walkId: string;
  onSpill(): void;
}

class Selector {
  readonly #options: SelectOptions;
  readonly #budget: ByteBudget;
  readonly #spilling: Spilling;
  readonly #maxIds: number;

  constructor(options: SelectOptions, budget: ByteBudget, spilling: Spilling) {
    this.#options = options;
    this.#budget = budget;
    this.#spilling = spilling;
    this.#maxIds = options.maxIds ?? MAX_IDS;
  }

  async run(): Promise<Omit<HistorySelection, typeof Symbol.asyncDispose>> {
    const { commits, snapshots, edges } = await this.#records();
    const there = await this.#objectsThere(edges), overNothing = new DigestSet();
    const objects = await this.#objects(snapshots, there, overNothing);
    return { commits, snapshots, objects, overNothing };
  }

  /** The commits, and the snapshots that they name. */
  async #records() {
    const ids = this.#ids("commit"), snapshots = this.#ids("snapshot");
    const edges = new Set<string>();
    let rows: CommitRow[] = [];
    for await (const page of walkDifference(this.#options)) {
      for (const edge of page.edges) if (edges.size < MAX_EDGES) edges.add(edge);
      const found = await commitRows(this.#options, page.commits.map(({ commitId }) => commitId));
      for (const row of found) this.#budget.add(sentBytes(row));
      await ids.add(found.map(({ commitId }) => commitId));
      await snapshots.add(found.map(({ snapshotId }) => snapshotId));
      rows = ids.isSpilled ? [] : rows.concat(found);
    }
    const commits = ids.isSpilled ? await this.#spilledCommits(ids) : pagesInMemory(rows);
    return { commits, snapshots: await this.#sorted(snapshots), edges };
  }

  async #spilledCommits(ids: Ids): Promise<Pages<CommitRow>> {
    const { walkId } = this.#spilling, size = await ids.spillAll();
    const read = (ids: readonly string[]) => commitRows(this.#options, ids);
    return pagesInDatabase(this.#options.db, { walkId, kind: "commit", size, read });
  }

  /** The objects of the commits that the missing ones build upon. */
  async #objectsThere(edges: ReadonlySet<string>): Promise<DigestSet> {
    const { db, repoId } = this.#options, there = new DigestSet();
    if (edges.size === 0) return there;
    const commits = await findCommits(db, repoId, [...edges]);
    const rows = await findSnapshots(db, repoId, commits.map(({ snapshotId }) => snapshotId));
    const visit: VisitId = (bytes, from, to) => {
      if (there.size < MAX_THERE) there.add(bytes, from, to);
    };
    const scanned = scanSnapshots({ ...this.#options, rows, visit });
    while (!(await scanned.next()).done);
    return there;
  }

  async #objects(
    snapshots: Pages<SnapshotRow>,
    there: DigestSet,
    overNothing: DigestSet,
  ): Promise<Pages<ObjectLocation>> {
    const found = new DigestSet(), objects = this.#ids("object");
    const visit: VisitId = (bytes, from, to) => {
      if (!there.has(bytes, from, to)) found.add(bytes, from, to);
    };
    const cache = new ManifestCache(this.#options);
    for await (const rows of snapshots.pages()) {
      for await (const scanned of scanSnapshots({ ...this.#options, rows, visit, cache })) {
        this.#count(scanned, overNothing);
        if (found.size < this.#maxIds) continue;
        await objects.add(found.ids());
        found.clear();
        trimHeap();
      }
    }
    if (!objects.isSpilled) return await this.#located([...found.ids()]);
    await objects.add(found.ids());
    return await this.#sortedObjects(objects);
  }

  #count({ row, createdAt, manifest }: ScannedSnapshot, overNothing: DigestSet): void {
    const { snapshotId, parentSnapshotId, recordBytes } = row;
    if (manifest !== undefined && parentSnapshotId === null) overNothing.addText(snapshotId);
    const isMeasured = manifest !== undefined && this.#budget.isLimited;
    this.#budget.add(
      isMeasured ? snapshotRecordBytes({ snapshotId, createdAt, manifest }) : recordBytes,
    );
  }

  async #sorted(snapshots: Ids): Promise<Pages<SnapshotRow>> {
    const { db, repoId } = this.#options, { walkId } = this.#spilling;
    const read = (ids: readonly string[]) => snapshotRows(this.#options, ids);
    if (!snapshots.isSpilled) {
      return pagesInMemory((await read([...snapshots.inMemory()])).sort(inStoredOrder));
    }
    const written = await snapshots.spillAll();
    const sorted = await sortSnapshots(db, { walkId, repoId, pageIds: PAGE_IDS });
    if (sorted.written !== written) throw lost(sorted.written, written);
    if (sorted.missing !== null) notThere(`snapshot ${sorted.missing}`);
    return pagesInDatabase(db, { walkId, kind: "snapshot-sorted", size: sorted.found, read });
  }

  async #sortedObjects(objects: Ids): Promise<Pages<ObjectLocation>> {
    const { db, repoId } = this.#options, { walkId } = this.#spilling;
    const written = await objects.spillAll();
    const sorted = await sortObjects(db, { walkId, repoId, pageIds: PAGE_IDS });
    if (sorted.written !== written) throw lost(sorted.written, written);
    if (sorted.missing !== null) throw noObject(sorted.missing);
    if (sorted.damaged !== null) {
      for (const location of await findLocations(db, repoId, [sorted.damaged])) {
        refuseDamaged(location);
      }
    }
    this.#budget.add(sorted.sizeBytes + OBJECT_BYTES * sorted.found);
    const read = (ids: readonly string[]) => locations(this.#options, ids);
    return pagesInDatabase(db, { walkId, kind: "object-sorted", size: sorted.found, read });
  }

  async #located(objectIds: readonly string[]): Promise<Pages<ObjectLocation>> {
    const found: ObjectLocation[] = [];
    for await (const ids of pagesInMemory(objectIds).pages()) {
      for (const location of await locations(this.#options, ids)) {
        this.#budget.add(OBJECT_BYTES + location.sizeBytes);
        found.push(location);
      }
    }
    return pagesInMemory(found.sort(byPosition));
  }

  #ids(kind: WalkKind): Ids {
    return new Ids({ db: this.#options.db, kind, maxIds: this.#maxIds, ...this.#spilling });
  }
}

/** Where the objects lie, if none is missing or damaged. */
async function locations(
  { db, repoId }: Pick<SelectOptions, "db" | "repoId">,
  ids: readonly string[],
): Promise<ObjectLocation[]> {
  const found = await findLocations(db, repoId, ids);
  if (found.length < ids.length) {
    const there = new Set(found.map(({ objectId }) => objectId));
    throw noObject(ids.find((id) => !there.has(id))!);
  }
  for (const location of found) refuseDamaged(location);
  return found;
}

/** The rows in the order of the ids. */
async function commitRows(
  { db, repoId }: Pick<SelectOptions, "db" | "repoId">,
  commitIds: readonly string[],
): Promise<CommitRow[]> {
  const rows = await findCommits(db, repoId, commitIds);
  const byId = new Map(rows.map((row) => [row.commitId, row]));
  return commitIds.map((id) => byId.get(id) ?? notThere(`commit ${id}`));
}

/** The rows in the order of their bytes in the store, page by page. */
async function snapshotRows(
  { db, repoId }: Pick<SelectOptions, "db" | "repoId">,
  ids: readonly string[],
): Promise<SnapshotRow[]> {
  const rows: SnapshotRow[] = [];
  for (let at = 0; at < ids.length; at += PAGE_IDS) {
    const page = await findSnapshots(db, repoId, ids.slice(at, at + PAGE_IDS));
    for (const row of page) rows.push(row);
  }
  if (rows.length === ids.length) return rows;
  const found = new Set(rows.map(({ snapshotId }) => snapshotId));
  return notThere(`snapshot ${ids.find((id) => !found.has(id))}`);
}

function notThere(what: string): never {
  throw new HistoryError("history-not-found", `Cannot send ${what}: this repo does not have it`);
}

function noObject(objectId: string): ObjectError {
  return new ObjectError(
    "object-not-found",
    `Cannot send object ${objectId}, which a snapshot names: this repo does not have it`,
  );
}

/** Length of a commit's record as it is sent, or a little more. */
function sentBytes({ recordBytes, merged }: CommitRow): number {
  return merged === null ? recordBytes : recordBytes + JSON.stringify(merged).length + 100;
}
