/**
 * Makes upload URLs for a store that cannot presign (a folder). Each is bound to one blob, its
 * length, a time and a client.
 *
 * @module
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { isDigest } from "../lib/ids.ts";
import type { Presigned } from "../stream/store/blob_store.ts";

/** What an upload URL is bound to. */
export interface UploadTerms {
  readonly repoId: string;
  /** Also the SHA-256 that the body must have. */
  readonly mpackKey: string;
  readonly sizeBytes: number;
  readonly expiresAt: Date;
  /** Whom the upload counts to: the caller that the URL was made for. */
  readonly client: string;
}

/** Makes a URL to PUT one pack to. */
export function signUpload(
  secret: Uint8Array,
  { base, ...terms }: UploadTerms & { readonly base: string },
): Presigned {
  const { repoId, mpackKey, sizeBytes, expiresAt, client } = terms;
  const expires = Math.floor(expiresAt.getTime() / 1000);
  const path = [repoId, mpackKey].map(encodeURIComponent).join("/");
  const query = new URLSearchParams({
    size: String(sizeBytes),
    expires: String(expires),
    client,
    signature: signatureOf(secret, terms).toHex(),
  });
  return {
    url: `${base.replace(/\/$/, "")}/api/uploads/${path}?${query}`,
    headers: {},
    expiresAt: new Date(expires * 1000),
  };
}

/** Tells whether we signed these terms and they have not expired. */
export function checkUpload(secret: Uint8Array, terms: UploadTerms, signature: string): boolean {
  if (!isDigest(signature)) return false;
  const isOurs = timingSafeEqual(signatureOf(secret, terms), Uint8Array.fromHex(signature));
  return isOurs && terms.expiresAt.getTime() > Date.now();
}

function signatureOf(secret: Uint8Array, terms: UploadTerms): Uint8Array {
  const { repoId, mpackKey, sizeBytes, expiresAt, client } = terms;
  const expires = Math.floor(expiresAt.getTime() / 1000);
  const text = ["PUT", repoId, mpackKey, sizeBytes, expires, client].join("\n");
  return new Uint8Array(createHmac("sha256", secret).update(text).digest());
}
