/**
 * Reads one commit of a repo.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { type Annotations, type CommitRow, findCommits } from "../db/history/commits.ts";
import { HistoryError } from "../errors.ts";
import { isObjectId } from "../lib/ids.ts";
import { sha256Hex } from "../lib/digest.ts";
import { isCommitId } from "../lib/record_ids.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { asMismatch, mismatch, type NamedPlace, openRecords } from "./records/open_records.ts";
import type { ValueCursor } from "./records/value_cursor.ts";

/** One commit. */
export interface Commit {
  /** Its id as it was pushed. */
  readonly commitId: string;
  /** No parent, one, or two for a merge: then the first is the branch that was merged into. */
  readonly parentIds: readonly string[];
  /** The snapshot: see `readManifest()`. */
  readonly snapshotId: string;
  /** Who made it, as its client wrote it; may be empty. */
  readonly author: string;
  /** When it was made, in ISO 8601 with an offset, as its client wrote it. */
  readonly committedAt: string;
  /** The message, its first line being the title. */
  readonly message: string;
  /** Annotations, which may change under the same id. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Who reviewed it, which may grow under the same id. */
  readonly reviewedBy: readonly string[];
  /** How often tests ran on it, which may grow under the same id. */
  readonly testRuns: number;
  /** The other texts of its record that are not empty, such as `branch` and `agent_id`. */
  readonly texts: Readonly<Record<string, string>>;
}

/** Which commit to read. */
export interface ReadCommitOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store of the repo's mpacks. */
  readonly store: BlobStore;
  /** The repo that wants to read. */
  readonly repoId: string;
  /** The id as it was pushed. */
  readonly commitId: string;
  /** Ends the reading with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Reads a commit out of the pack that brought it to this repo, and checks its id.
 *
 * @throws {HistoryError} `history-not-found`, or `record-mismatch` if the stored bytes are not it.
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function readCommit(options: ReadCommitOptions): Promise<Commit> {
  const { db, store, repoId, commitId, signal } = options;
  const [row] = isObjectId(commitId) ? await findCommits(db, repoId, [commitId]) : [];
  if (row === undefined) throw commitNotFound(commitId);
  const place = { ...row, name: `commit ${commitId}` };
  for await (const { cursor } of openRecords(store, [place], signal)) {
    return await commitOf(place, cursor);
  }
  throw commitNotFound(commitId);
}

/** The error for an id that the repo has no commit under. It does not depend on other repos. */
function commitNotFound(commitId: string): HistoryError {
  const shown = isObjectId(commitId) ? commitId : JSON.stringify(commitId.slice(0, 100));
  return new HistoryError("history-not-found", `Cannot find commit ${shown} in this repo`);
}

/** Reads a commit's record to its end, and checks its id. */
export async function commitOf(
  row: CommitRow & NamedPlace,
  cursor: ValueCursor,
): Promise<Commit> {
  const { texts, metadata, reviewedBy, testRuns } = await fieldsOf(row, cursor);
  const {
    commit_id,
    parent_commit_id,
    parent2_commit_id,
    snapshot_id: snapshotId = "",
    message = "",
    committed_at: committedAt = "",
    author = "",
    ...others
  } = texts;
  const parentIds = [parent_commit_id, parent2_commit_id].filter((id) => id !== undefined);
  const signerPublicKey = others.signer_public_key ?? "";
  const fields = { parentIds, snapshotId, message, committedAt, author, signerPublicKey };
  if (commit_id !== row.commitId) throw mismatch(row, "they are not this commit's record");
  if (!isCommitId(row.commitId, fields, sha256Hex)) {
    throw mismatch(row, "no rule gives them this id");
  }
  return {
    commitId: row.commitId,
    parentIds,
    snapshotId,
    author,
    committedAt,
    message,
    ...annotated({ metadata, reviewedBy, testRuns }, row.merged),
    texts: notEmpty(others),
  };
}

function notEmpty(texts: Record<string, string | undefined>): Record<string, string> {
  const found: Record<string, string> = Object.create(null);
  for (const [name, text] of Object.entries(texts)) if (text) found[name] = text;
  return found;
}

interface Fields {
  readonly texts: Record<string, string | undefined>;
  metadata: Record<string, string>;
  reviewedBy: string[];
  testRuns: number;
}

async function fieldsOf(place: NamedPlace, cursor: ValueCursor): Promise<Fields> {
  const fields: Fields = {
    texts: Object.create(null),
    metadata: Object.create(null),
    reviewedBy: [],
    testRuns: 0,
  };
  try {
    for (let left = await cursor.mapLength(); left > 0; left--) {
      const key = await cursor.text();
      if (key === "metadata" && await cursor.isMap()) {
        for await (const page of cursor.textPairs()) {
          for (const [name, value] of page) fields.metadata[name] = value;
        }
      } else if (key === "reviewed_by") fields.reviewedBy = await cursor.texts() ?? [];
      else if (key === "test_runs") fields.testRuns = await cursor.count() ?? 0;
      else if (key === undefined) await cursor.skip();
      else {
        const text = await cursor.text();
        if (text !== undefined) fields.texts[key] = text;
      }
    }
  } catch (error) {
    throw asMismatch(place, error);
  }
  if (!cursor.isAtEnd) throw mismatch(place, "the record ends before their end");
  return fields;
}

/** What the record says of itself, or what later pushes made of it. */
function annotated(
  record: Pick<Commit, "metadata" | "reviewedBy" | "testRuns">,
  merged: Annotations | null,
): Pick<Commit, "metadata" | "reviewedBy" | "testRuns"> {
  return {
    metadata: { ...(merged?.metadata ?? record.metadata) },
    reviewedBy: merged?.reviewed_by ?? record.reviewedBy,
    testRuns: merged?.test_runs ?? record.testRuns,
  };
}
