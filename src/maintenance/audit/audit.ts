/**
 * Hashes the mpacks and objects of a store again. Reads each mpack once, in bounded memory.
 *
 * @module
 */

import {
  type AuditScope,
  beginAudit,
  endAudit,
  readAuditPacks,
  recordFinished,
  recordValid,
} from "../../db/audits.ts";
import { recountAll } from "../../db/quotas/quotas.ts";
import { StoreError } from "../../errors.ts";
import { compareOwner, refuseOwner } from "../store_owner.ts";
import type { AuditContext } from "./audit_context.ts";
import { auditMpack } from "./audit_mpack.ts";
import { auditRecords } from "./audit_records.ts";

export type { AuditScope, MpackToAudit } from "../../db/audits.ts";
export type { LocatedMpack } from "../../db/damaged_refs.ts";
export type { AuditContext, AuditFinding } from "./audit_context.ts";

/** Rows of mpacks read by one statement. */
const ROWS_PER_STATEMENT = 100;
/** The most repair commands in a summary. */
const MAX_REPAIRS = 20;

/** The result of an audit. snake_case, because it is stored and printed as JSON. */
export interface AuditSummary {
  /** Whether nothing was changed: then `refs_marked` and `refs_restored` say what would be. */
  readonly dry_run?: boolean;
  /** Whether no problem was found. */
  readonly is_valid: boolean;
  /** Mpacks read in this run. */
  readonly mpacks: number;
  /** Mpacks that this audit had found valid before it was interrupted. */
  readonly mpacks_checked_before: number;
  /** Mpacks with findings. */
  readonly mpacks_damaged: number;
  /** Valid mpacks whose blob had another version, because the store was copied or moved. */
  readonly mpacks_moved: number;
  /** Mpacks that looked damaged at the first reading and valid at the second. */
  readonly mpacks_misread: number;
  /** Bytes read. */
  readonly bytes: number;
  /** Objects hashed. */
  readonly objects: number;
  /** Commits and snapshots read by their rows, and checked against their ids. */
  readonly records: number;
  /** Number of findings by code. */
  readonly findings: Readonly<Record<string, number>>;
  /** Refs and records newly marked as damaged. They cannot be read; pushing the object again repairs them. */
  readonly refs_marked: number;
  /** Refs and records that were marked before and are valid again. */
  readonly refs_restored: number;
  /** Tenants of whom it was wrongly counted what they have; their quotas go by the right numbers now. */
  readonly quotas_corrected: number;
  /** The first twenty repair commands. */
  readonly repair: readonly string[];
  /** Duration in milliseconds. */
  readonly elapsed_ms: number;
}

/** What to audit, and with what. */
export interface AuditOptions extends AuditContext, AuditScope {
  /** Names the audit. A second call with this name continues an interrupted audit. */
  readonly auditId: string;
  /** Called before each mpack with the number of mpacks done and in total. */
  readonly onMpack?: (done: number, total: number) => void;
}

/**
 * Audits mpacks. Valid ones are noted, so that a continued audit skips them. Damaged ones are not,
 * so that it reads them again.
 *
 * @throws {StoreError | DatabaseError} If a service is unavailable, or the store is empty. Mpacks
 * that were checked stay checked.
 */
export async function audit(options: AuditOptions): Promise<AuditSummary> {
  const { db, auditId, onMpack, isDryRun = false } = options;
  const startedAt = performance.now();
  const { startedAt: begunAt, mpackIds, packsChecked } = await beginAudit(db, auditId, options);
  if (mpackIds.length > 0) await refuseWrongStore(options);
  const sum = {
    mpacks: 0,
    damaged: 0,
    moved: 0,
    misread: 0,
    bytes: 0,
    objects: 0,
    records: 0,
    marked: 0,
    restored: 0,
  };
  const { context, findings, repair } = counting(options);
  for (let at = 0; at < mpackIds.length; at += ROWS_PER_STATEMENT) {
    for (const mpack of await readAuditPacks(db, mpackIds.slice(at, at + ROWS_PER_STATEMENT))) {
      onMpack?.(packsChecked + sum.mpacks, packsChecked + mpackIds.length);
      const found = await auditMpack(mpack, context);
      const records = await auditRecords(mpack, context);
      sum.records += records.records;
      sum.marked += records.marked;
      sum.restored += records.restored;
      sum.mpacks++;
      sum.bytes += found.bytes;
      sum.objects += found.objects;
      sum.marked += found.marked;
      sum.restored += found.restored;
      if (found.isMoved) sum.moved++;
      if (found.wasMisread) sum.misread++;
      if (!(found.isValid && records.isValid)) sum.damaged++;
      else if (!isDryRun) await recordValid(db, auditId, mpack.mpackId);
    }
  }
  const corrected = options.mpackKey === undefined && !isDryRun ? await recountAll(db) : [];
  if (!isDryRun) {
    await recordFinished(db, auditId, {
      startedAt: begunAt,
      repoId: options.repoId ?? null,
      mpacks: packsChecked + sum.mpacks,
      damaged: sum.damaged,
    });
    await endAudit(db, auditId);
  }
  return {
    ...(isDryRun && { dry_run: true }),
    is_valid: sum.damaged === 0,
    mpacks: sum.mpacks,
    mpacks_checked_before: packsChecked,
    mpacks_damaged: sum.damaged,
    mpacks_moved: sum.moved,
    mpacks_misread: sum.misread,
    bytes: sum.bytes,
    objects: sum.objects,
    records: sum.records,
    findings,
    refs_marked: sum.marked,
    refs_restored: sum.restored,
    quotas_corrected: corrected.length,
    repair: [...repair],
    elapsed_ms: Math.round(performance.now() - startedAt),
  };
}

/** A context that also counts the findings and collects their repair commands. */
function counting(options: AuditContext) {
  const findings: Record<string, number> = {}, repair = new Set<string>();
  const context: AuditContext = {
    ...options,
    async onFinding(finding) {
      findings[finding.code] = (findings[finding.code] ?? 0) + 1;
      if (repair.size < MAX_REPAIRS) repair.add(finding.repair);
      await options.onFinding(finding);
    },
  };
  return { context, findings, repair };
}

/** An audit of the wrong store would find every mpack missing and mark every ref as damaged. */
async function refuseWrongStore(context: AuditContext): Promise<void> {
  const { store, signal } = context;
  const owner = await compareOwner(context);
  refuseOwner(context, owner);
  if (owner.ownership !== "unmarked") return;
  for await (const _ of store.list("", { signal })) return;
  throw new StoreError(
    "store-unavailable",
    `Cannot audit: ${store.url} is empty. If it is the right store, push one mpack again first`,
  );
}
