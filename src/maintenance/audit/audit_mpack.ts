/**
 * Audits one mpack: hashes the whole, and the content behind every ref into it.
 *
 * @module
 */

import { type MpackToAudit, readAuditPacks } from "../../db/audits.ts";
import {
  confirmValid,
  markDamaged,
  type ObjectPlaces,
  refsInto,
  repinMpack,
} from "../../db/damaged_refs.ts";
import { isBlobMissing } from "../../errors.ts";
import { ObjectHash } from "../../hash/object_hash.ts";
import { isSameId } from "../../lib/ids.ts";
import { openAnyVersion } from "../../objects/open_version.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";
import { decodeZstd } from "../../stream/zstd/decode_zstd.ts";
import { ZstdError } from "../../stream/zstd/zstd_error.ts";
import type { AuditContext, AuditFinding } from "./audit_context.ts";
import { type Scan, scanMpack } from "./scan_mpack.ts";

/** Refs read by one statement, if they are checked one by one. */
const REFS_PER_STATEMENT = 1_000;

/** The result for one mpack. */
export interface AuditedMpack {
  readonly isValid: boolean;
  /** Whether it was damaged at the first reading only. */
  readonly wasMisread: boolean;
  /** Bytes read. */
  readonly bytes: number;
  /** Objects hashed. */
  readonly objects: number;
  /** Refs newly marked as damaged. */
  readonly marked: number;
  /** Refs that were marked before and are valid again. */
  readonly restored: number;
  /** Whether the blob has another version than the indexed one, and the mpack's bytes. */
  readonly isMoved: boolean;
}

/**
 * Audits one mpack. If something looks wrong, reads it once more before marking any ref: a disk, a
 * cache or the network may have damaged the bytes on the way.
 *
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function auditMpack(
  mpack: MpackToAudit,
  context: AuditContext,
): Promise<AuditedMpack> {
  const first = new Reading(mpack, context, { isMarking: false, wasProved: false });
  await first.run();
  if (!first.isWrong) return first.outcome({ wasMisread: false });
  // Since its row was read, the mpack may have been pushed again or collected.
  const [current] = await readAuditPacks(context.db, [mpack.mpackId]);
  if (current === undefined) return { ...first.outcome({ wasMisread: false }), isValid: true };
  const second = new Reading(current, context, { isMarking: true, wasProved: first.isProved });
  await second.run();
  return second.outcome({ wasMisread: !second.isWrong });
}

/** One reading of one mpack. Only a reading with `isMarking` reports and changes anything. */
class Reading {
  isWrong = false;
  /** Whether all bytes were read and hash to the mpack's key. */
  isProved = false;
  /** The version of the blob, if it is not the indexed one. */
  #newEtag: string | undefined;
  #isMoved = false;
  readonly #mpack: MpackToAudit;
  readonly #context: AuditContext;
  readonly #isMarking: boolean;
  /** Whether an earlier reading was proved. */
  readonly #wasProved: boolean;
  /** Refs that the scan came across. */
  #refs = 0;
  #marked = 0;
  #restored = 0;
  #bytes = 0;
  #objects = 0;

  constructor(
    mpack: MpackToAudit,
    context: AuditContext,
    { isMarking, wasProved }: { isMarking: boolean; wasProved: boolean },
  ) {
    this.#mpack = mpack;
    this.#context = context;
    this.#isMarking = isMarking;
    this.#wasProved = wasProved;
  }

  outcome({ wasMisread }: { wasMisread: boolean }): AuditedMpack {
    return {
      isValid: !this.isWrong,
      wasMisread,
      bytes: this.#bytes,
      objects: this.#objects,
      marked: this.#marked,
      restored: this.#restored,
      isMoved: this.#isMoved,
    };
  }

  async run(): Promise<void> {
    const scan = await this.#scan();
    if (scan === undefined) return await this.#noBlob("blob-missing");
    if (this.#newEtag !== undefined && !await this.#repin(scan, this.#newEtag)) {
      return await this.#noBlob("blob-replaced");
    }
    this.#bytes = scan.sizeBytes;
    this.#objects = scan.objects;
    await this.#checkDigest(scan);
    await this.#checkShape(scan);
    await this.#checkOtherRefs(scan);
  }

  /** Reads the mpack once, and confirms or marks the refs to each object on the way. */
  async #scan(): Promise<Scan | undefined> {
    const { store, limits, signal, onProgress } = this.#context, mpack = this.#mpack;
    try {
      await using reader = await openAnyVersion(store, mpack.blobKey, {
        etag: mpack.etag,
        signal,
      });
      const { etag } = reader.stat;
      if (etag !== mpack.etag) this.#newEtag = etag;
      return await scanMpack(reader, {
        valid: (rows) => this.#confirm(rows),
        mismatched: (rows) => this.#mismatched(rows),
      }, { limits, signal, onProgress: (bytes) => onProgress?.(mpack, bytes) });
    } catch (error) {
      if (!isBlobMissing(error)) throw error;
      return undefined;
    }
  }

  /**
   * The blob has another version. If its bytes still hash to the mpack's key, the store was copied or
   * moved: the new version becomes the indexed one.
   */
  async #repin({ mpackKey }: Scan, etag: string): Promise<boolean> {
    if (mpackKey !== this.#mpack.mpackKey) return false;
    if (!this.#context.isDryRun) await repinMpack(this.#context.db, this.#mpack, etag);
    this.#isMoved = true;
    return true;
  }

  async #confirm(rows: ObjectPlaces): Promise<void> {
    const { refs, restored } = await confirmValid(
      this.#context.db,
      this.#mpack,
      rows,
      this.#context,
    );
    this.#refs += refs;
    this.#restored += restored;
  }

  async #mismatched(rows: ObjectPlaces): Promise<void> {
    this.isWrong = true;
    // Of another version, the digest of the whole decides first; the second reading reports.
    if (!this.#isMarking || this.#newEtag !== undefined) return;
    const damage = this.#wasProved ? "lie" : "loss";
    const { refs, marked } = await markDamaged(
      this.#context.db,
      this.#mpack,
      rows,
      damage,
      this.#context,
    );
    this.#refs += refs;
    this.#marked += marked;
    for (const [i, id] of rows.objectIds.entries()) {
      const offset = rows.contentOffsets[i], size = rows.sizesBytes[i];
      await this.#reportMismatch(id, offset, size, this.#wasProved);
    }
  }

  async #checkDigest({ mpackKey }: Scan): Promise<void> {
    this.isProved = mpackKey === this.#mpack.mpackKey;
    if (!this.isProved) await this.#report("digest-mismatch", `The blob has the key ${mpackKey}`);
  }

  async #checkShape({ problem }: Scan): Promise<void> {
    if (problem === undefined) return;
    const { code, message, offsetBytes: offset_bytes } = problem;
    await this.#report(code, message, { offset_bytes });
  }

  /** Checks the refs that the scan did not come across: behind a problem, or with a wrong offset. */
  async #checkOtherRefs({ problem }: Scan): Promise<void> {
    if (this.#refs >= this.#mpack.refs) return;
    this.isWrong = true;
    if (!this.#isMarking) return;
    const fromOffset = problem?.offsetBytes ?? 0;
    for await (const rows of this.#refPages()) {
      for (const [i, objectId] of rows.objectIds.entries()) {
        const offset = rows.contentOffsets[i], size = rows.sizesBytes[i];
        const encoding = rows.encodings[i];
        if (offset + size <= fromOffset) continue;
        const row = {
          objectIds: [objectId],
          contentOffsets: [offset],
          sizesBytes: [size],
          encodings: [encoding],
        };
        if (await this.#isValid(objectId, { offsetBytes: offset, lengthBytes: size }, encoding)) {
          this.#restored += (await confirmValid(this.#context.db, this.#mpack, row, this.#context))
            .restored;
        } else {
          await this.#markMissing(row);
          await this.#reportMismatch(objectId, offset, size, false);
        }
      }
    }
  }

  /** Without the indexed blob, every ref into it is damaged. */
  async #noBlob(code: "blob-missing" | "blob-replaced"): Promise<void> {
    this.isWrong = true;
    if (!this.#isMarking) return;
    const { blobKey } = this.#mpack;
    const isMissing = code === "blob-missing";
    await this.#report(
      code,
      isMissing ? `There is no blob ${blobKey}` : `${blobKey} is another version`,
    );
    for await (const rows of this.#refPages()) await this.#markMissing(rows);
  }

  async #isValid(
    objectId: string,
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    encoding: string | null,
  ): Promise<boolean> {
    if (encoding !== null && encoding !== "zstd") return false;
    const { store, signal, limits } = this.#context, { blobKey } = this.#mpack;
    const etag = this.#newEtag ?? this.#mpack.etag;
    const hash = new ObjectHash();
    async function* stored() {
      if (range.lengthBytes === 0) return;
      yield* iterateReader(await store.open(blobKey, { ...range, etag, signal }));
    }
    const plain = encoding === null
      ? stored()
      : decodeZstd(stored(), { maxBytes: limits.maxContentBytes });
    try {
      for await (const chunk of plain) hash.update(chunk);
    } catch (error) {
      // The content would begin behind the blob's end, or cannot be decoded.
      if (error instanceof RangeError || error instanceof ZstdError) return false;
      throw error;
    }
    return isSameId(hash.digest(), objectId);
  }

  async *#refPages(): AsyncGenerator<ObjectPlaces> {
    const { db, signal } = this.#context;
    for (let afterId = "";;) {
      signal.throwIfAborted();
      const rows = await refsInto(db, this.#mpack, { afterId, limit: REFS_PER_STATEMENT });
      if (rows.objectIds.length > 0) yield rows;
      if (rows.objectIds.length < REFS_PER_STATEMENT) return;
      afterId = rows.objectIds[rows.objectIds.length - 1];
    }
  }

  async #markMissing(rows: ObjectPlaces): Promise<void> {
    this.#marked += (await markDamaged(
      this.#context.db,
      this.#mpack,
      rows,
      "loss",
      this.#context,
    )).marked;
  }

  async #reportMismatch(
    object_id: string,
    offset_bytes: number,
    size_bytes: number,
    wasPushedSo: boolean,
  ): Promise<void> {
    const { repo } = this.#mpack, where = { object_id, offset_bytes, size_bytes };
    const message = `The bytes of ${object_id} hash to another id`;
    if (!wasPushedSo) return await this.#report("object-mismatch", message, where);
    // The mpack itself holds other bytes, so pushing it again does not help.
    await this.#report("object-mismatch", `${message}, as they did when they were pushed`, {
      ...where,
      repair: `mpackd index ANOTHER_MPACK_WITH_THE_OBJECT --repo ${repo}`,
    });
  }

  async #report(
    code: string,
    message: string,
    more: Partial<AuditFinding> = {},
  ): Promise<void> {
    this.isWrong = true;
    if (!this.#isMarking) return;
    const { repo, mpackKey: mpack_key } = this.#mpack;
    // The replaced blob may hold the right bytes; then its key is enough.
    const source = code === "blob-replaced" ? mpack_key : `FILE --expect ${mpack_key}`;
    const repair = `mpackd index ${source} --repo ${repo}`;
    await this.#context.onFinding({ code, repo, mpack_key, message, repair, ...more });
  }
}
