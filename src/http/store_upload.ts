/**
 * Stores a request's body under the mpack key that its SHA-256 must match.
 *
 * @module
 */

import { blobKeyOf } from "../config/config.ts";
import { findMpack } from "../db/packs.ts";
import { InvalidMpackError, isBlobMissing } from "../errors.ts";
import { withPrefix } from "../lib/ids.ts";
import type { BlobStat, BlobStore } from "../stream/store/blob_store.ts";
import { bodyChunks, bodyLimits } from "./body/body.ts";
import { hashed } from "./body/hash_body.ts";
import type { ApiContext } from "./context.ts";
import { type Recheck, whileAllowed } from "./recheck.ts";
import type { UploadTerms } from "./upload_url.ts";

/**
 * Streams a body of known length into the store; stores nothing if its digest differs.
 *
 * @throws {InvalidMpackError} `digest-mismatch` or `size-mismatch`.
 */
export async function storeUpload(
  request: Request,
  { repoId, mpackKey, sizeBytes }: Pick<UploadTerms, "repoId" | "mpackKey" | "sizeBytes">,
  { db, store, config, force }: ApiContext,
  recheck: Recheck,
): Promise<void> {
  const key = blobKeyOf(config.blobKey, repoId, mpackKey);
  // A URL that still works must not replace a blob whose version readers have pinned.
  const known = await findMpack(db, { repoId, mpackKey });
  if (known !== undefined && await isStored(store, key, sizeBytes)) {
    return await request.body?.cancel();
  }
  const chunks = whileAllowed(bodyChunks(request, bodyLimits(config, sizeBytes)), recheck);
  const body = hashed(chunks, ({ sha256, sizeBytes: found }) => {
    if (found !== sizeBytes) {
      throw new InvalidMpackError(
        "size-mismatch",
        `Cannot accept the pack: ${sizeBytes} bytes were declared, ${found} arrived`,
      );
    }
    if (withPrefix(sha256) === mpackKey) return;
    throw new InvalidMpackError(
      "digest-mismatch",
      `Cannot accept the pack: its bytes have the key ${withPrefix(sha256)}, not ${mpackKey}`,
    );
  });
  await store.put(key, body, { sizeBytes, signal: force });
}

/** Tells whether the store has a blob under this key, of this length if one is given. */
export async function isStored(
  store: BlobStore,
  key: string,
  sizeBytes?: number,
): Promise<boolean> {
  const stat = await statStored(store, key);
  return stat !== undefined && (sizeBytes === undefined || stat.sizeBytes === sizeBytes);
}

/** The stat of the blob under this key; undefined if there is none. */
export async function statStored(store: BlobStore, key: string): Promise<BlobStat | undefined> {
  try {
    return await store.stat(key);
  } catch (error) {
    if (isBlobMissing(error)) return undefined;
    throw error;
  }
}
