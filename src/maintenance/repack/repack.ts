/**
 * Packs many small mpacks of a repo into few, so that a clone costs few requests.
 *
 * The new pack is written twice: the first time only to learn its digest and where each row will lie,
 * and to prove it with the decoder, which checks the id of every record; the second time into the
 * store, which is told the digest and refuses other bytes. Then one statement turns the rows over.
 * Readers that have looked a place up before go on reading the old blobs: gc keeps them for its grace
 * time. A repack that is killed leaves a blob without a row.
 *
 * @module
 */

import { blobKeyOf } from "../../config/config.ts";
import {
  countMoves,
  dropMoves,
  publishRepack,
  type Repack,
  type SmallPack,
  smallPacks,
} from "../../db/history/moves.ts";
import { recordHasher } from "../../hash/record_hash.ts";
import { openSha256 } from "../../hash/sha256.ts";
import { digestOf, withPrefix } from "../../lib/ids.ts";
import { checkedBody } from "../../stream/store/checked_body.ts";
import { MpackDecoder } from "../../stream/mpack/mpack_decoder.ts";
import { planMoves } from "./plan_moves.ts";
import type { RepackOptions } from "./repack_options.ts";
import { writeMoves } from "./write_moves.ts";

export type { RepackOptions, RepackProgress } from "./repack_options.ts";

/** What was repacked. snake_case, because it is printed as JSON. */
export interface RepackSummary {
  /** Packs that were replaced. */
  readonly packs_before: number;
  /** Packs that hold the same now. */
  readonly packs_after: number;
  /** Length of the new packs in bytes. */
  readonly bytes: number;
  /** Commits, snapshots and objects that lie in them. */
  readonly rows: number;
  /** Duration in milliseconds. */
  readonly elapsed_ms: number;
}

/**
 * Repacks one repo, beside pushes and reads.
 *
 * @throws {HistoryError | ObjectError} If stored bytes are not what their id says: see `audit`.
 * @throws {StoreError | DatabaseError} If a service is unavailable. Packs that are replaced stay so.
 */
export async function repack(options: RepackOptions): Promise<RepackSummary> {
  const { db, repoId, packBytes, onPack } = options, startedAt = performance.now();
  const sum = { packs_before: 0, packs_after: 0, bytes: 0, rows: 0 };
  for (
    const packs of groupsOf(
      await smallPacks(db, repoId, { maxBytes: Math.floor(packBytes / 2) }),
      packBytes,
    )
  ) {
    onPack?.(packs.length);
    const { sizeBytes, rows } = await repackGroup(options, packs);
    sum.packs_before += packs.length;
    sum.packs_after++;
    sum.bytes += sizeBytes;
    sum.rows += rows;
  }
  return { ...sum, elapsed_ms: Math.round(performance.now() - startedAt) };
}

/** What a repack would replace. snake_case, because it is printed as JSON. */
export interface RepackPlan {
  readonly dry_run: true;
  /** Packs that would be replaced. */
  readonly packs_before: number;
  /** Packs that would hold the same. */
  readonly packs_after: number;
  /** Length of the packs that would be replaced, in bytes. */
  readonly bytes: number;
}

/** Says what a repack would replace, and changes nothing. */
export async function planRepack(
  { db, repoId, packBytes }: Pick<RepackOptions, "db" | "repoId" | "packBytes">,
): Promise<RepackPlan> {
  const groups = groupsOf(
    await smallPacks(db, repoId, { maxBytes: Math.floor(packBytes / 2) }),
    packBytes,
  );
  const packs = groups.flat();
  return {
    dry_run: true,
    packs_before: packs.length,
    packs_after: groups.length,
    bytes: packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/** Packs that become one: at least two, and together not longer than `packBytes`. */
function groupsOf(packs: readonly SmallPack[], packBytes: number): SmallPack[][] {
  const groups: SmallPack[][] = [];
  let sizeBytes = Infinity;
  for (const pack of packs) {
    if (sizeBytes + pack.sizeBytes > packBytes) {
      groups.push([]);
      sizeBytes = 0;
    }
    groups[groups.length - 1].push(pack);
    sizeBytes += pack.sizeBytes;
  }
  return groups.filter(({ length }) => length > 1);
}

async function repackGroup(options: RepackOptions, packs: readonly SmallPack[]) {
  const { db, store, config, repoId, signal } = options, runId = crypto.randomUUID();
  const run: Repack = { repoId, runId, mpackIds: packs.map(({ mpackId }) => mpackId) };
  try {
    options.onProgress?.({ phase: "plan", bytes: 0, sizeBytes: 0 });
    await planMoves(options, run);
    const { mpackKey, sizeBytes } = await prove(options, run);
    const blobKey = blobKeyOf(config.blobKey, repoId, mpackKey);
    const sha256Hex = digestOf(mpackKey),
      body = told(
        writeMoves({ ...options, isNoting: false }, run),
        (bytes) => options.onProgress?.({ phase: "store", bytes, sizeBytes }),
      );
    const checked = checkedBody(blobKey, body, { sizeBytes, sha256Hex });
    const { etag } = await store.put(blobKey, checked, { sizeBytes, sha256Hex, signal });
    const counts = await countMoves(db, run);
    const rows = await publishRepack(db, run, { mpackKey, blobKey, etag, sizeBytes, counts });
    return { sizeBytes, rows };
  } finally {
    await dropMoves(db, runId);
  }
}

/** The same chunks, and how many bytes have gone. */
async function* told<T extends Uint8Array>(
  chunks: AsyncIterable<T>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<T, void, undefined> {
  let bytes = 0;
  for await (const chunk of chunks) {
    onBytes(bytes += chunk.length);
    yield chunk;
  }
}

/** Writes the pack to nowhere: decodes and hashes it. */
async function prove(
  options: RepackOptions,
  run: Repack,
): Promise<{ mpackKey: string; sizeBytes: number }> {
  const decoder = new MpackDecoder({
    limits: options.limits,
    rows: false,
    history: recordHasher,
  });
  using hasher = await openSha256({ engine: "native", worker: false });
  for await (const chunk of writeMoves({ ...options, isNoting: true }, run)) {
    for (let at = 0; at < chunk.length;) {
      const buffer = await hasher.borrow(), part = chunk.subarray(at, at + buffer.length);
      buffer.set(part);
      decoder.write(buffer.subarray(0, part.length));
      decoder.takeRecords();
      hasher.update(buffer, part.length);
      at += part.length;
    }
    options.onProgress?.({ phase: "prove", bytes: hasher.bytesHashed, sizeBytes: 0 });
  }
  decoder.end();
  const { bytesHashed: sizeBytes } = hasher;
  return { mpackKey: withPrefix(await hasher.digest()), sizeBytes };
}
