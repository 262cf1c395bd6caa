/**
 * The audit of one pack: whatever a reader would be given from it is hashed.
 *
 * @module
 */

import { type MpackToAudit, readAuditPacks } from "../../db/audits.ts";
import { confirmValid, markDamaged, type ObjectPlaces, refsInto } from "../../db/damaged_refs.ts";
import type { Database } from "../../db/client/database.ts";
import { isBlobMissing } from "../../errors.ts";
import { isSameId } from "../../lib/ids.ts";
import { ObjectHash } from "../../hash/object_hash.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { MpackLimits } from "../../stream/mpack/limits.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";
import { type Scan, scanPack } from "./scan_pack.ts";

/** Refs looked at by one statement, where they are looked at one by one. */
const PAGE_REFS = 1_000;

/** One thing that an audit has found; snake_case because it is printed as it is. */
export interface AuditFinding {
  /** `blob-missing`, `blob-replaced`, `object-mismatch`, or what `index` would say of the pack. */
  readonly code: string;
  /** The repo, as owner/slug. */
  readonly repo: string;
  /** The pack. */
  readonly mpack_key: string;
  /** The object, where one is to blame. */
  readonly object_id?: string;
  /** First byte of its content in the pack, or the first byte of the pack that is wrong. */
  readonly offset_bytes?: number;
  /** Length of the content in bytes. */
  readonly size_bytes?: number;
  /** For people. */
  readonly message: string;
  /** The command that puts it right. */
  readonly repair: string;
}

/** What an audit works with. */
export interface AuditParts {
  /** The database. */
  readonly db: Database;
  /** Where the packs lie. */
  readonly store: BlobStore;
  /** The limits that packs were indexed under. */
  readonly limits: MpackLimits;
  /** Ends the audit; what was checked stays checked. */
  readonly signal: AbortSignal;
  /** Told of each thing found. */
  readonly onFinding: (finding: AuditFinding) => void;
  /** Told how far the reading of a pack is. */
  readonly onProgress?: (pack: MpackToAudit, bytes: number) => void;
}

/** What came of one pack. */
export interface AuditedPack {
  /** Whether nothing is wrong with it. */
  readonly isSound: boolean;
  /** Whether something was wrong at the first reading only. */
  readonly wasMisread: boolean;
  /** Bytes read. */
  readonly bytes: number;
  /** Objects hashed. */
  readonly objects: number;
  /** Refs marked as damaged. */
  readonly marked: number;
  /** Refs that were marked and are sound again. */
  readonly restored: number;
}

/**
 * Audits one pack. What looks wrong is read once more before anything is marked: a disk, a cache or
 * a wire may have garbled it on the way.
 *
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function auditPack(pack: MpackToAudit, parts: AuditParts): Promise<AuditedPack> {
  const first = new Reading(pack, parts, { isMarking: false, isProved: false });
  await first.run();
  if (!first.isWrong) return first.outcome(false);
  // The pack may have been healed, or collected, since its row was read.
  const [current] = await readAuditPacks(parts.db, [pack.mpackId]);
  if (current === undefined) return { ...first.outcome(false), isSound: true };
  const second = new Reading(current, parts, { isMarking: true, isProved: first.isProved });
  await second.run();
  return second.outcome(!second.isWrong);
}

class Reading {
  isWrong = false;
  /** Whether the pack's bytes were all read and have its digest. */
  isProved = false;
  readonly #pack: MpackToAudit;
  readonly #parts: AuditParts;
  readonly #isMarking: boolean;
  readonly #wasProved: boolean;
  #refs = 0;
  #marked = 0;
  #restored = 0;
  #bytes = 0;
  #objects = 0;

  constructor(
    pack: MpackToAudit,
    parts: AuditParts,
    { isMarking, isProved }: { isMarking: boolean; isProved: boolean },
  ) {
    this.#pack = pack;
    this.#parts = parts;
    this.#isMarking = isMarking;
    this.#wasProved = isProved;
  }

  outcome(wasMisread: boolean): AuditedPack {
    const { isWrong } = this, bytes = this.#bytes, objects = this.#objects;
    return {
      isSound: !isWrong,
      wasMisread,
      bytes,
      objects,
      marked: this.#marked,
      restored: this.#restored,
    };
  }

  async run(): Promise<void> {
    const scan = await this.#scan();
    if (typeof scan === "string") return await this.#gone(scan);
    this.#bytes = scan.sizeBytes;
    this.#objects = scan.objects;
    const { mpackKey } = this.#pack;
    this.isProved = scan.mpackKey === mpackKey;
    if (!this.isProved) {
      this.#found("digest-mismatch", `The blob has the key ${scan.mpackKey}`);
    }
    if (scan.problem) {
      const { code, message, offsetBytes: offset_bytes } = scan.problem;
      this.#found(code, message, { offset_bytes });
    }
    // Refs that the pass did not come by: behind a break, or astray.
    if (this.#refs < this.#pack.refs) {
      this.isWrong = true;
      if (this.#isMarking) await this.#checkOneByOne(scan.problem?.offsetBytes ?? 0);
    }
  }

  async #scan(): Promise<Scan | "blob-missing" | "blob-replaced"> {
    const { db, store, limits, signal, onProgress } = this.#parts, pack = this.#pack;
    try {
      await using reader = await store.open(pack.blobKey, { etag: pack.etag, signal });
      return await scanPack(reader, {
        sound: async (rows) => {
          const { refs, restored } = await confirmValid(db, pack, rows);
          this.#refs += refs;
          this.#restored += restored;
        },
        lying: async (rows) => {
          this.isWrong = true;
          if (!this.#isMarking) return;
          const damage = this.#wasProved ? "lie" : "loss";
          const { refs, marked } = await markDamaged(db, pack, rows, damage);
          this.#refs += refs;
          this.#marked += marked;
          rows.objectIds.forEach((id, i) =>
            this.#mismatch(id, rows.contentOffsets[i], rows.sizesBytes[i], this.#wasProved)
          );
        },
      }, { limits, signal, onProgress: (bytes) => onProgress?.(pack, bytes) });
    } catch (error) {
      if (!isBlobMissing(error)) throw error;
      return error.status === 412 ? "blob-replaced" : "blob-missing";
    }
  }

  /** The blob that was indexed is no more: every ref into it is one to nothing. */
  async #gone(code: "blob-missing" | "blob-replaced"): Promise<void> {
    this.isWrong = true;
    if (!this.#isMarking) return;
    const { blobKey } = this.#pack;
    this.#found(
      code,
      code === "blob-missing" ? `There is no blob ${blobKey}` : `${blobKey} is another version`,
    );
    for await (const rows of this.#pages()) await this.#mark(rows);
  }

  async #checkOneByOne(fromOffset: number): Promise<void> {
    for await (const { objectIds, contentOffsets, sizesBytes } of this.#pages()) {
      for (const [i, objectId] of objectIds.entries()) {
        const contentOffset = contentOffsets[i], sizeBytes = sizesBytes[i];
        if (contentOffset + sizeBytes <= fromOffset) continue;
        const row = {
          objectIds: [objectId],
          contentOffsets: [contentOffset],
          sizesBytes: [sizeBytes],
        };
        if (await this.#isSound(objectId, contentOffset, sizeBytes)) {
          this.#restored += (await confirmValid(this.#parts.db, this.#pack, row)).restored;
        } else {
          await this.#mark(row);
          this.#mismatch(objectId, contentOffset, sizeBytes, false);
        }
      }
    }
  }

  async #isSound(objectId: string, offsetBytes: number, lengthBytes: number): Promise<boolean> {
    const { store, signal } = this.#parts, { blobKey, etag } = this.#pack;
    const hash = new ObjectHash();
    try {
      if (lengthBytes > 0) {
        const reader = await store.open(blobKey, { offsetBytes, lengthBytes, etag, signal });
        for await (const chunk of iterateReader(reader)) hash.update(chunk);
      }
    } catch (error) {
      // The location begins behind the blob's end.
      if (error instanceof RangeError) return false;
      throw error;
    }
    return isSameId(hash.digest(), objectId);
  }

  async *#pages(): AsyncGenerator<ObjectPlaces> {
    let afterId = "";
    for (;;) {
      this.#parts.signal.throwIfAborted();
      const rows = await refsInto(this.#parts.db, this.#pack, { afterId, limit: PAGE_REFS });
      if (rows.objectIds.length > 0) yield rows;
      if (rows.objectIds.length < PAGE_REFS) return;
      afterId = rows.objectIds[rows.objectIds.length - 1];
    }
  }

  async #mark(rows: ObjectPlaces): Promise<void> {
    this.#marked += (await markDamaged(this.#parts.db, this.#pack, rows, "loss")).marked;
  }

  #mismatch(object_id: string, offset_bytes: number, size_bytes: number, isLie: boolean): void {
    const { repo } = this.#pack, where = { object_id, offset_bytes, size_bytes };
    const message = `The bytes of ${object_id} hash to something else`;
    if (!isLie) return this.#found("object-mismatch", message, where);
    // The pack will never hold the object: only another one can.
    this.#found("object-mismatch", `${message}, as they were pushed`, {
      ...where,
      repair: `main.ts index ANOTHER_PACK_WITH_THE_OBJECT --repo ${repo}`,
    });
  }

  #found(code: string, message: string, more: Partial<AuditFinding> = {}): void {
    this.isWrong = true;
    if (!this.#isMarking) return;
    const { repo, mpackKey: mpack_key } = this.#pack;
    // A key is enough where the blob may be the right one after all.
    const source = code === "blob-replaced" ? mpack_key : `FILE --expect ${mpack_key}`;
    const repair = `main.ts index ${source} --repo ${repo}`;
    this.#parts.onFinding({ code, repo, mpack_key, message, repair, ...more });
  }
}
