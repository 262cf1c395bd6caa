/**
 * Audits the commits and snapshots of one mpack: reads each record by its row, and checks its id.
 *
 * @module
 */

import type { MpackToAudit } from "../../db/audits.ts";
import type { CommitRow } from "../../db/history/commits.ts";
import { commitsIn, setDamaged, snapshotsIn } from "../../db/history/records_in_pack.ts";
import type { SnapshotRow } from "../../db/history/snapshots.ts";
import { HistoryError, isBlobMissing } from "../../errors.ts";
import { commitOf } from "../../history/read_commit.ts";
import { openRecords } from "../../history/records/open_records.ts";
import { scanSnapshots } from "../../history/select/scan_snapshots.ts";
import type { AuditContext } from "./audit_context.ts";

const PAGE_ROWS = 500;

/** The result for the records of one mpack. */
export interface AuditedRecords {
  readonly isValid: boolean;
  /** Records read. */
  readonly records: number;
  /** Records newly marked as damaged. */
  readonly marked: number;
  /** Records that were marked before and are valid again. */
  readonly restored: number;
}

/**
 * Audits the records of a mpack. A record that looks wrong is read once more before it is marked.
 *
 * @throws {StoreError | DatabaseError} If a service is unavailable.
 */
export async function auditRecords(
  mpack: MpackToAudit,
  context: AuditContext,
): Promise<AuditedRecords> {
  const { db, store, signal, isDryRun } = context, { repoId } = mpack;
  const sum = { isValid: true, records: 0, marked: 0, restored: 0 };

  /** Checks all rows of one kind. */
  const audit = async <R extends CommitRow | SnapshotRow>(
    kind: "commit" | "snapshot",
    list: (page: { after: number; limit: number }) => Promise<R[]>,
    check: (rows: readonly R[], onValid: () => void) => Promise<void>,
  ) => {
    const idOf = (row: CommitRow | SnapshotRow) =>
      "commitId" in row ? row.commitId : row.snapshotId;
    for (let after = -1;;) {
      signal.throwIfAborted();
      const page = await list({ after, limit: PAGE_ROWS }), right = new Set(page.map(idOf));
      for (let at = 0; at < page.length;) {
        // What was marked before is read again: it may have been restored.
        const rows = page.slice(at).map((row) => ({ ...row, damagedAt: null }));
        const valid = await validBefore(rows, check);
        at += valid;
        if (valid === rows.length) break;
        const wrong = await problemOf(rows[valid], check);
        if (wrong !== undefined) {
          sum.isValid = false;
          const ids = [idOf(rows[valid])];
          right.delete(ids[0]);
          sum.marked += await setDamaged(db, mpack, { kind, ids, isDamaged: true, isDryRun });
          await report(rows[valid], kind, ids[0], wrong);
        }
        at++;
      }
      sum.records += page.length;
      sum.restored += await setDamaged(db, mpack, {
        kind,
        ids: [...right],
        isDamaged: false,
        isDryRun,
      });
      if (page.length < PAGE_ROWS) return;
      after = page[page.length - 1].recordOffset;
    }
  };

  const report = async (
    row: CommitRow | SnapshotRow,
    kind: "commit" | "snapshot",
    id: string,
    message: string,
  ) =>
    await context.onFinding({
      code: "record-mismatch",
      repo: mpack.repo,
      mpack_key: mpack.mpackKey,
      [`${kind}_id`]: id,
      offset_bytes: row.recordOffset,
      size_bytes: row.recordBytes,
      message,
      repair: `mpackd index FILE --expect ${mpack.mpackKey} --repo ${mpack.repo}`,
    });

  await audit<CommitRow>("commit", (page) => commitsIn(db, mpack, page), async (rows, onValid) => {
    const named = rows.map((row) => ({ ...row, name: `commit ${row.commitId}` }));
    for await (const { record, cursor } of openRecords(store, named, signal)) {
      await commitOf(record, cursor);
      onValid();
    }
  });
  await audit<SnapshotRow>(
    "snapshot",
    (page) => snapshotsIn(db, mpack, page),
    async (rows, onValid) => {
      const from = { db, store, repoId, signal };
      for await (const _ of scanSnapshots({ ...from, rows, visit: () => {} })) onValid();
    },
  );
  return sum;
}

type Check<R> = (rows: readonly R[], onValid: () => void) => Promise<void>;

/** How many of the rows are valid, up to the first that is not. */
async function validBefore<R>(rows: readonly R[], check: Check<R>): Promise<number> {
  let valid = 0;
  try {
    await check(rows, () => valid++);
  } catch (error) {
    if (!isWrong(error)) throw error;
  }
  return valid;
}

/** What is wrong with one row, read once more; undefined if nothing is. */
async function problemOf<R>(row: R, check: Check<R>): Promise<string | undefined> {
  try {
    await check([row], () => {});
    return undefined;
  } catch (error) {
    if (!isWrong(error)) throw error;
    return error.message;
  }
}

function isWrong(error: unknown): error is Error {
  return error instanceof HistoryError || isBlobMissing(error) || error instanceof RangeError;
}
