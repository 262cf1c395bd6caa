/**
 * Writes the rows of a repack as one mpack, each object and record checked against its id.
 *
 * @module
 */

import {
  countMoves,
  movedCommits,
  type MovedKind,
  movedObjects,
  movedSnapshots,
  type NewPlaces,
  notePlaces,
  type Repack,
} from "../../db/history/moves.ts";
import type { ObjectLocation } from "../../db/refs.ts";
import type { SnapshotRow } from "../../db/history/snapshots.ts";
import { copyCommits, SnapshotCopier } from "../../history/records/copy_records.ts";
import { snapshotRecord } from "../../history/records/snapshot_record.ts";
import { inChunks } from "../../history/chunks.ts";
import { ManifestCache } from "../../history/select/manifest_cache.ts";
import { scanSnapshots } from "../../history/select/scan_snapshots.ts";
import { DigestSet } from "../../lib/digest_set.ts";
import { arrayHeader, binHeader, mapHeader, str } from "../../lib/msgpack_headers.ts";
import { planReads } from "../../objects/plan_reads.ts";
import { readBatch } from "../../objects/read_batch.ts";
import { decodeObject } from "../../objects/encoded_object.ts";
import { readEncoded } from "../../objects/read_object.ts";
import type { RepackOptions } from "./repack_options.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const PAGE_ROWS = 1_000;
const READS = { order: "asked", maxGapBytes: 256 * 1024, maxBatchBytes: 8 * 1024 * 1024 } as const;

/**
 * The document `{commits, snapshots, objects}`. Deltas become full manifests.
 *
 * @param options.isNoting Whether to note where each row lies.
 * @throws {HistoryError | ObjectError} If stored bytes are not what their id says.
 */
export function writeMoves(
  options: RepackOptions & { readonly isNoting: boolean },
  run: Repack,
): AsyncGenerator<Bytes, void, undefined> {
  return inChunks(new Writer(options, run).parts());
}

class Writer {
  readonly #options: RepackOptions & { readonly isNoting: boolean };
  readonly #run: Repack;
  #at = 0;
  #kind: MovedKind = "commit";
  #places = noPlaces();
  /** What the next deltas may be over. */
  #manifests: ManifestCache | undefined;

  constructor(options: RepackOptions & { readonly isNoting: boolean }, run: Repack) {
    this.#options = options;
    this.#run = run;
  }

  async *parts(): AsyncGenerator<Bytes, void, undefined> {
    const { db, store, signal } = this.#options, run = this.#run;
    const counts = await countMoves(db, run);
    yield* this.#part(bytes(mapHeader(3)));
    yield* this.#section("commit", "commits", counts.commit);
    for await (const rows of this.#pages(movedCommits)) {
      // Each record is as long as it was: what was merged into it stays in its row.
      let { at } = { at: this.#at };
      for (const { commitId, recordBytes } of rows) {
        this.#note(commitId, at, recordBytes);
        at += recordBytes;
      }
      for await (const part of copyCommits(store, rows, signal)) yield* this.#part(part);
      await this.#flush();
    }
    yield* this.#section("snapshot", "snapshots", counts.snapshot);
    for await (const rows of this.#pages(movedSnapshots)) {
      yield* this.#snapshots(rows);
      await this.#flush();
    }
    yield* this.#section("object", "objects", counts.object);
    for await (const rows of this.#pages(movedObjects)) {
      yield* this.#objects(rows);
      await this.#flush();
    }
  }

  /** First those that are copied, then those that were deltas. */
  async *#snapshots(rows: readonly SnapshotRow[]) {
    const { db, store, signal } = this.#options, { repoId } = this.#run;
    const from = { db, store, repoId, signal };
    const whole = rows.filter(({ parentSnapshotId }) => parentSnapshotId === null);
    let at = this.#at;
    for (const { snapshotId, recordBytes } of whole) {
      this.#note(snapshotId, at, recordBytes);
      at += recordBytes;
    }
    const copies = { isWhole: true, overNothing: new DigestSet() };
    const copier = new SnapshotCopier({ ...from, want: [], have: [] }, copies);
    for await (const part of copier.copy(whole)) yield* this.#part(part);
    const deltas = rows.filter(({ parentSnapshotId }) => parentSnapshotId !== null);
    const cache = this.#manifests ??= new ManifestCache(from);
    const scanned = scanSnapshots({ ...from, rows: deltas, cache, visit: () => {} });
    for await (const { row: { snapshotId }, createdAt, manifest } of scanned) {
      const begin = this.#at;
      for (const part of snapshotRecord({ snapshotId, createdAt, manifest: manifest! })) {
        yield* this.#part(part);
      }
      this.#note(snapshotId, begin, this.#at - begin, manifest!.size);
    }
  }

  async *#objects(rows: readonly ObjectLocation[]) {
    const { store, signal, maxContentBytes } = this.#options;
    for (const batch of planReads(rows, READS)) {
      const contents = batch.isBuffered ? await readBatch(store, batch, signal) : undefined;
      for (const location of batch.objects) {
        const { objectId, sizeBytes, encoding } = location;
        yield* this.#part(headOf(location));
        this.#note(objectId, this.#at, sizeBytes);
        if (contents === undefined) {
          const { stream } = await readEncoded(store, location, { signal, maxContentBytes });
          for await (const chunk of stream) yield* this.#part(chunk);
          continue;
        }
        const found = contents.get(objectId)!;
        if (!(found instanceof Uint8Array)) throw found;
        if (encoding !== null) {
          await decodeObject(location, () => once(found), { maxContentBytes });
        }
        yield* this.#part(found);
      }
    }
  }

  *#part(part: Bytes) {
    this.#at += part.length;
    if (part.length > 0) yield part;
  }

  *#section(kind: MovedKind, name: string, count: number) {
    this.#kind = kind;
    yield* this.#part(bytes(str(name), arrayHeader(count)));
  }

  async *#pages<R extends { readonly place: number }>(
    read: (
      db: RepackOptions["db"],
      run: Repack,
      page: { after: number; limit: number },
    ) => Promise<R[]>,
  ): AsyncGenerator<R[], void, undefined> {
    for (let after = 0;;) {
      this.#options.signal.throwIfAborted();
      const rows = await read(this.#options.db, this.#run, { after, limit: PAGE_ROWS });
      if (rows.length > 0) yield rows;
      if (rows.length < PAGE_ROWS) return;
      after = rows[rows.length - 1].place;
    }
  }

  #note(id: string, offset: number, sizeBytes: number, entries: number | null = null): void {
    const { ids, offsets, bytes, entries: all } = this.#places;
    ids.push(id);
    offsets.push(offset);
    bytes.push(sizeBytes);
    all.push(entries);
  }

  async #flush(): Promise<void> {
    const places: NewPlaces = this.#places;
    this.#places = noPlaces();
    if (this.#options.isNoting) await notePlaces(this.#options.db, this.#run, this.#kind, places);
  }
}

function noPlaces() {
  return {
    ids: [] as string[],
    offsets: [] as number[],
    bytes: [] as number[],
    entries: [] as (number | null)[],
  };
}

/** An object up to its content. */
function headOf({ objectId, sizeBytes, encoding }: ObjectLocation): Bytes {
  const id = [...str("object_id"), ...str(objectId)], content = str("content");
  return encoding === null
    ? bytes(mapHeader(2), id, content, binHeader(sizeBytes))
    : bytes(mapHeader(3), id, str("encoding"), str(encoding), content, binHeader(sizeBytes));
}

function bytes(...parts: readonly number[][]): Bytes {
  return Uint8Array.from(parts.flat());
}

async function* once(content: Bytes): AsyncGenerator<Bytes, void, undefined> {
  yield await Promise.resolve(content);
}
