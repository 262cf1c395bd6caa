/**
 * The ids of commits and snapshots. Inside the rules, an id counts without its prefix.
 *
 * @module
 */

import { digestOf } from "./ids.ts";

/** The fields that a commit's id is made of. */
export interface CommitIdFields {
  /** In any order. */
  readonly parentIds: readonly string[];
  readonly snapshotId: string;
  readonly message: string;
  /** The text of the record: the same time written otherwise is another commit. */
  readonly committedAt: string;
  readonly author: string;
  /** The public key of who signed the commit; empty if nobody did. */
  readonly signerPublicKey: string;
}

/**
 * The texts that a commit may be named by the digest of. Clients know three rules: with the time;
 * with the author instead, as the plumbing command makes them; with both and the signer's key, since
 * May 2026.
 */
function commitTexts(fields: CommitIdFields): string[] {
  const { message, committedAt, author, signerPublicKey } = fields;
  const parents = fields.parentIds.map(digestOf).sort().join("\0");
  const start = [parents, digestOf(fields.snapshotId), message];
  return [
    [...start, committedAt],
    [...start, author],
    [...start, committedAt, author, signerPublicKey],
  ].map((parts) => parts.join("\0"));
}

/**
 * Whether one of the rules gives a commit this id.
 *
 * @param hash SHA-256 of the text as UTF-8, as 64 lower-case hex digits.
 */
export function isCommitId(
  commitId: string,
  fields: CommitIdFields,
  hash: (text: string) => string,
): boolean {
  const digest = digestOf(commitId);
  return commitTexts(fields).some((text) => hash(text) === digest);
}

/**
 * The order of paths in a snapshot's id: by code point, which is that of their UTF-8 bytes. The
 * order of `<` is by UTF-16 units, where a surrogate comes before U+E000.
 */
export function comparePaths(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    const a = one.charCodeAt(i), b = other.charCodeAt(i);
    if (a === b) continue;
    const isAstral = isSurrogate(a), isOther = isSurrogate(b);
    if (isAstral !== isOther) return isAstral ? 1 : -1;
    return a - b;
  }
  return one.length - other.length;
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff;
}
