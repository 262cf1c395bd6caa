/**
 * Finds the commit that a user names.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { findHead } from "../db/history/branches.ts";
import { idsBeginning } from "../db/find_ids.ts";
import { findTagged } from "../db/history/commit_names.ts";
import { HistoryError } from "../errors.ts";
import { isSameId } from "../lib/ids.ts";

/** `sha256:` or nothing, and at least four hex digits. */
const PREFIX = /^(?:sha256:)?[0-9a-f]{4,64}$/;

/**
 * Finds a commit by its id, a branch, a tag, or a prefix of its id that no other commit of the repo
 * has: four hex digits or more. The first of these that fits counts.
 *
 * @returns The commit's id.
 * @throws {HistoryError} `history-not-found` if nothing fits, or a prefix fits several commits.
 */
export async function resolveCommit(db: Database, repoId: string, name: string): Promise<string> {
  const isText = name.isWellFormed() && !name.includes("\0");
  const isPrefix = PREFIX.test(name);
  const place = { kind: "commit", repoId } as const;
  const matches = isPrefix ? await idsBeginning(db, place, { prefix: name, limit: 2 }) : [];
  // A branch of that name cannot stand for the id of a commit, however that was spelt.
  const whole = matches.find((id) => id === name) ?? matches.find((id) => isSameId(id, name));
  if (whole !== undefined) return whole;
  const named = isText
    ? await findHead(db, repoId, name) ?? await findTagged(db, repoId, name)
    : undefined;
  if (named !== undefined) return named;
  if (matches.length === 1) return matches[0];
  const shown = JSON.stringify(name.slice(0, 300));
  throw new HistoryError(
    "history-not-found",
    matches.length === 0
      ? `Cannot find a commit, branch or tag ${shown} in this repo`
      : `Cannot tell which commit ${shown} is: several begin so, such as ${matches.join(" and ")}`,
  );
}
