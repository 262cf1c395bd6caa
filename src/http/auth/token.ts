/**
 * Bearer tokens: `mpk_<id>_<secret>`. The id finds the row; then the secret's hash is compared.
 *
 * @module
 */

import { timingSafeEqual } from "node:crypto";
import { sha256Hex } from "../../lib/digest.ts";

const ID_BYTES = 8;
const SECRET_BYTES = 32;
const TOKEN = /^mpk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

/** What a token may allow. `admin` has an effect only for an admin's token. */
export const SCOPES = ["read", "push", "admin"] as const;

export type Scope = typeof SCOPES[number];

/** A new token. Its text is not stored. */
export interface MintedToken {
  /** As the client sends it. */
  readonly text: string;
  /** The part that is not secret. */
  readonly tokenId: string;
  /** The hex SHA-256 of the rest. */
  readonly secretHash: string;
}

export function mintToken(): MintedToken {
  const tokenId = crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex();
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  const secret = bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  return { text: `mpk_${tokenId}_${secret}`, tokenId, secretHash: sha256Hex(secret) };
}

/** Makes the token of a server that was started with --open. */
export function mintOpenToken(): string {
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return `mpk_open_${secret.toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

/** Splits a token, and hashes its secret; undefined if `text` does not have the form of one. */
export function parseToken(
  text: string,
): Pick<MintedToken, "tokenId" | "secretHash"> | undefined {
  const match = TOKEN.exec(text);
  return match === null ? undefined : { tokenId: match[1], secretHash: sha256Hex(match[2]) };
}

/** Compares a secret with a stored hash in constant time. */
export function isSecret(secret: string, secretHash: string): boolean {
  return isSameHash(sha256Hex(secret), secretHash);
}

/** Compares two hex hashes of the same length in constant time. */
export function isSameHash(one: string, other: string): boolean {
  return timingSafeEqual(Uint8Array.fromHex(one), Uint8Array.fromHex(other));
}
