/**
 * An mpack that is uploaded in parts: which parts the store has, and how they become a blob. What
 * there is to know is in the store and in one row, so any server, and any client that has the mpack,
 * goes on where another one stopped.
 *
 * @module
 */

import { blobKeyOf } from "../config/config.ts";
import { forgetUpload, insertUpload, touchUpload, type UploadRow } from "../db/uploads.ts";
import { InvalidMpackError } from "../errors.ts";
import { digestOf } from "../lib/ids.ts";
import type { PartUploads, SentPart } from "../stream/store/blob_store.ts";
import { DigestError } from "../stream/store/checked_body.ts";
import { partUploadsOf } from "../stream/store/part_blobs.ts";
import type { ApiContext } from "./context.ts";
import { HttpProblem } from "./problem.ts";

const MIB = 1024 * 1024;
/** S3's limit. See {@link https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html}. */
const MAX_PARTS = 10_000;
/** 100 GB are 1,490 parts of it; a part that breaks is sent again from its beginning. */
const DEFAULT_PART_BYTES = 64 * MIB;

/** What a client declares of an mpack. */
export interface WantedUpload {
  readonly repoId: string;
  readonly mpackKey: string;
  readonly sizeBytes: number;
  /** Wanted length of every part but the last. */
  readonly partBytes?: number;
}

/** A part that the store does not have yet. */
export interface MissingPart {
  readonly number: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** An upload that is going on. */
export interface OpenUpload {
  readonly row: UploadRow;
  readonly uploads: PartUploads;
  /** The key of the blob that the parts become. */
  readonly blobKey: string;
  /** The parts that have arrived. */
  readonly sent: readonly SentPart[];
  readonly missing: readonly MissingPart[];
}

/** Finds the upload of an mpack; undefined if there is none. */
export async function findUpload(
  { db, store, config }: ApiContext,
  place: { readonly repoId: string; readonly mpackKey: string },
): Promise<OpenUpload | undefined> {
  const row = await touchUpload(db, place);
  if (row === undefined) return undefined;
  const uploads = partUploadsOf(store);
  const blobKey = blobKeyOf(config.blobKey, row.repoId, row.mpackKey);
  const sent = await uploads.list(blobKey, row.uploadId);
  // Completed by a request that could not note it, or collected.
  if (sent === undefined) return await forgetUpload(db, row).then(() => undefined);
  return { row, uploads, blobKey, sent, missing: missingParts(row, sent) };
}

/** Goes on with the upload of an mpack, or begins one. */
export async function openUpload(context: ApiContext, wanted: WantedUpload): Promise<OpenUpload> {
  const { db, store, config } = context, { repoId, mpackKey, sizeBytes } = wanted;
  const open = await findUpload(context, wanted);
  if (open?.row.sizeBytes === sizeBytes) return open;
  // One of the two lengths is wrong, and only the last one may be corrected by its client.
  if (open !== undefined) await discardUpload(context, open);
  const uploads = partUploadsOf(store), blobKey = blobKeyOf(config.blobKey, repoId, mpackKey);
  const uploadId = await uploads.begin(blobKey);
  const row = { repoId, mpackKey, uploadId, sizeBytes, partBytes: partBytesOf(wanted) };
  if (await insertUpload(db, row)) {
    return { row, uploads, blobKey, sent: [], missing: missingParts(row, []) };
  }
  await uploads.abort(blobKey, uploadId);
  const other = await findUpload(context, wanted);
  if (other?.row.sizeBytes === sizeBytes) return other;
  throw new HttpProblem(
    429,
    "rate-limited",
    "Cannot begin the upload: the repo has too many uploads that are not complete",
  );
}

/** Removes the parts. */
export async function discardUpload(
  { db }: ApiContext,
  { row, uploads, blobKey }: OpenUpload,
): Promise<void> {
  await uploads.abort(blobKey, row.uploadId);
  await forgetUpload(db, row);
}

/**
 * Makes the parts the mpack's blob. Call it when none is missing.
 *
 * @throws {InvalidMpackError} `digest-mismatch`, if the store compares digests. The parts are removed.
 */
export async function completeUpload(
  context: ApiContext,
  upload: OpenUpload,
  check: () => Promise<void>,
): Promise<void> {
  const { row, uploads, blobKey, sent } = upload;
  const options = { sha256Hex: digestOf(row.mpackKey), check, signal: context.force };
  // More than the mpack's own parts would be there after a client's mistake; they are not joined.
  const parts = sent.filter(({ number }) => number <= countOf(row));
  try {
    await uploads.complete(blobKey, row.uploadId, parts, options);
  } catch (error) {
    if (!(error instanceof DigestError)) throw error;
    await discardUpload(context, upload);
    throw new InvalidMpackError(
      "digest-mismatch",
      `Cannot accept the pack: its parts together do not have the key ${row.mpackKey}`,
      { cause: error },
    );
  }
  await forgetUpload(context.db, row);
}

function partBytesOf({ sizeBytes, partBytes = DEFAULT_PART_BYTES }: WantedUpload): number {
  return Math.max(partBytes, Math.ceil(sizeBytes / MAX_PARTS / MIB) * MIB);
}

/** How many parts the whole mpack has. */
export function countOf({ sizeBytes, partBytes }: UploadRow): number {
  return Math.ceil(sizeBytes / partBytes);
}

/** A part of another length than expected is missing, too: it is sent again. */
function missingParts(row: UploadRow, sent: readonly SentPart[]): MissingPart[] {
  const { sizeBytes, partBytes } = row, count = countOf(row);
  const sizes = new Map(sent.map((part) => [part.number, part.sizeBytes]));
  const missing: MissingPart[] = [];
  for (let number = 1; number <= count; number++) {
    const offsetBytes = (number - 1) * partBytes;
    const length = Math.min(partBytes, sizeBytes - offsetBytes);
    if (sizes.get(number) !== length) missing.push({ number, offsetBytes, sizeBytes: length });
  }
  return missing;
}
