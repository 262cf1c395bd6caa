/**
 * What an audit works with, and what it reports.
 *
 * @module
 */

import type { MpackToAudit } from "../../db/audits.ts";
import type { Database } from "../../db/client/database.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { MpackLimits } from "../../stream/mpack/limits.ts";

/** One problem found by an audit. snake_case, because it is printed as JSON. */
export interface AuditFinding {
  /** `blob-missing`, `blob-replaced`, `object-mismatch`, `record-mismatch`, or the code of the mpack's error. */
  readonly code: string;
  /** The repo, as owner/slug. */
  readonly repo: string;
  /** The mpack. */
  readonly mpack_key: string;
  /** The object, if the problem is in one. */
  readonly object_id?: string;
  /** The commit, if the problem is in one. */
  readonly commit_id?: string;
  /** The snapshot, if the problem is in one. */
  readonly snapshot_id?: string;
  /** Position in the mpack of the object's content, or of the first wrong byte. */
  readonly offset_bytes?: number;
  /** Length of the content in bytes. */
  readonly size_bytes?: number;
  /** For people. */
  readonly message: string;
  /** The command that repairs it. */
  readonly repair: string;
}

/** What an audit works with. */
export interface AuditContext {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store of the mpacks. */
  readonly store: BlobStore;
  /** The limits that the mpacks were indexed under. */
  readonly limits: MpackLimits;
  /** Whether to change nothing: damage is found, and not marked. Default false. */
  readonly isDryRun?: boolean;
  /** Ends the audit. Mpacks that were checked stay checked. */
  readonly signal: AbortSignal;
  /** Called for each problem, and waited for. */
  readonly onFinding: (finding: AuditFinding) => unknown;
  /** Called while an mpack is read. */
  readonly onProgress?: (mpack: MpackToAudit, bytes: number) => void;
}
