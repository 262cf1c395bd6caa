/**
 * Bearer tokens: `mpk_<id>_<secret>`. The id finds the row, the secret's hash is compared.
 *
 * @module
 */

import { timingSafeEqual } from "node:crypto";
import { sha256, sha256Hex } from "../../lib/digest.ts";

const ID_BYTES = 8;
const SECRET_BYTES = 32;
const TOKEN = /^mpk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

/** What tokens can be good for. `admin` only ever widens what an admin's token may do. */
export const SCOPES = ["read", "push", "admin"] as const;

/** One of them. */
export type Scope = typeof SCOPES[number];

/** A token that was just made; its text is never seen again. */
export interface MintedToken {
  /** What the client sends. */
  readonly text: string;
  /** The part that is no secret. */
  readonly tokenId: string;
  /** What is kept of the rest. */
  readonly secretHash: string;
}

/** Makes a new token. */
export function mintToken(): MintedToken {
  const tokenId = crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex();
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  const secret = bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  return { text: `mpk_${tokenId}_${secret}`, tokenId, secretHash: sha256Hex(secret) };
}

/** The two parts of a token; undefined if `text` has not the form of one. */
export function parseToken(text: string): { tokenId: string; secret: string } | undefined {
  const match = TOKEN.exec(text);
  return match === null ? undefined : { tokenId: match[1], secret: match[2] };
}

/** Whether `secret` is the one whose hash was kept; takes as long either way. */
export function isSecret(secret: string, secretHash: string): boolean {
  return timingSafeEqual(sha256(secret), Uint8Array.fromHex(secretHash));
}
