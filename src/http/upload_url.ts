/**
 * Makes upload URLs for a store that cannot presign (a folder). Each is bound to one blob or one part
 * of an upload, its length, a time and a client.
 *
 * @module
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { isDigest } from "../lib/ids.ts";
import type { Presigned } from "../stream/store/blob_store.ts";
import { declaredLength } from "./body/body.ts";
import { HttpProblem } from "./problem.ts";

/** What an upload URL is bound to. */
export interface UploadTerms {
  readonly repoId: string;
  /** Also the SHA-256 that the body must have, if it is not a part. */
  readonly mpackKey: string;
  readonly sizeBytes: number;
  readonly expiresAt: Date;
  /** Whom the upload counts to: the caller that the URL was made for. */
  readonly client: string;
  /** Undefined for a whole mpack. */
  readonly part?: { readonly uploadId: string; readonly number: number };
}

/** Makes a URL to PUT one pack or one part to. */
export function signUpload(
  secret: Uint8Array,
  { base, ...terms }: UploadTerms & { readonly base: string },
): Presigned {
  const { sizeBytes, expiresAt, client } = terms;
  const expires = Math.floor(expiresAt.getTime() / 1000);
  const path = namesOf(terms).map(encodeURIComponent).join("/");
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

/** The query of an upload URL. */
export const UploadQuery = z.object({
  size: z.coerce.number().int().min(1),
  expires: z.coerce.number().int(),
  client: z.string(),
  signature: z.string(),
});

/**
 * Requires that a request has a valid upload URL, and a body of the length that it is for.
 *
 * @throws {HttpProblem} 403, 411 or 400.
 */
export function requireUpload(
  request: Request,
  secret: Uint8Array,
  place: UploadPlace,
  query: z.output<typeof UploadQuery>,
): UploadTerms {
  const terms = termsOf(place, query), { size } = query;
  if (!checkUpload(secret, terms, query.signature)) {
    throw new HttpProblem(
      403,
      "forbidden",
      "Cannot accept the upload: its URL is not valid or has expired",
    );
  }
  const sizeBytes = declaredLength(request, size);
  if (sizeBytes === undefined) {
    throw new HttpProblem(
      411,
      "length-required",
      "Cannot accept the upload: Content-Length is missing",
    );
  }
  if (sizeBytes !== size) {
    throw new HttpProblem(
      400,
      "bad-request",
      `Cannot accept the upload: the URL is for ${size} bytes, Content-Length is ${sizeBytes}`,
    );
  }
  return terms;
}

/** The client that a valid upload URL was made for; undefined for any other URL. */
export function clientOfUpload(
  secret: Uint8Array,
  place: UploadPlace,
  query: URLSearchParams,
): string | undefined {
  const url = UploadQuery.safeParse(Object.fromEntries(query)).data;
  if (url === undefined) return undefined;
  return checkUpload(secret, termsOf(place, url), url.signature) ? url.client : undefined;
}

/** What the path of an upload URL names. */
type UploadPlace = Pick<UploadTerms, "repoId" | "mpackKey" | "part">;

function termsOf(
  place: UploadPlace,
  { size, expires, client }: z.output<typeof UploadQuery>,
): UploadTerms {
  return { ...place, sizeBytes: size, expiresAt: new Date(expires * 1000), client };
}

/** Tells whether we signed these terms and they have not expired. */
function checkUpload(secret: Uint8Array, terms: UploadTerms, signature: string): boolean {
  if (!isDigest(signature)) return false;
  const isOurs = timingSafeEqual(signatureOf(secret, terms), Uint8Array.fromHex(signature));
  return isOurs && terms.expiresAt.getTime() > Date.now();
}

function signatureOf(secret: Uint8Array, terms: UploadTerms): Uint8Array {
  const { sizeBytes, expiresAt, client } = terms;
  const expires = Math.floor(expiresAt.getTime() / 1000);
  const text = ["PUT", ...namesOf(terms), sizeBytes, expires, client].join("\n");
  return new Uint8Array(createHmac("sha256", secret).update(text).digest());
}

function namesOf({ repoId, mpackKey, part }: UploadTerms): string[] {
  return [repoId, mpackKey, ...(part ? [part.uploadId, String(part.number)] : [])];
}
