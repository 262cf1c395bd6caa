/**
 * Re-hashes what packs hold: one pass per pack, resumable, in bounded memory.
 *
 * @module
 */

import {
  type AuditScope,
  beginAudit,
  endAudit,
  readAuditPacks,
  recordValid,
} from "../../db/audits.ts";
import { StoreError } from "../../errors.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { auditPack, type AuditParts } from "./audit_pack.ts";

export type { AuditScope, MpackToAudit } from "../../db/audits.ts";
export type { LocatedMpack } from "../../db/damaged_refs.ts";
export type { AuditFinding, AuditParts } from "./audit_pack.ts";

/** Rows of packs read at once. */
const PAGE_PACKS = 100;
/** Commands listed in a summary. */
const MAX_REPAIRS = 20;

/** What an audit came to; snake_case because it is stored and printed as it is. */
export interface AuditSummary {
  /** Whether nothing is wrong. */
  readonly is_sound: boolean;
  /** Packs looked at now. */
  readonly packs: number;
  /** Packs that this audit had found sound before it was interrupted. */
  readonly packs_checked_before: number;
  /** Packs with findings. */
  readonly packs_damaged: number;
  /** Packs that looked wrong at the first reading and sound at the second. */
  readonly packs_misread: number;
  /** Bytes read. */
  readonly bytes: number;
  /** Objects hashed. */
  readonly objects: number;
  /** Findings by code. */
  readonly findings: Readonly<Record<string, number>>;
  /** Refs newly marked as damaged; readers are refused them, a good push heals them. */
  readonly refs_marked: number;
  /** Refs that were marked and are sound again. */
  readonly refs_restored: number;
  /** Commands that put it right, the first twenty. */
  readonly repair: readonly string[];
  /** Milliseconds it took. */
  readonly elapsed_ms: number;
}

/** What to audit, and with what. */
export interface AuditOptions extends AuditParts, AuditScope {
  /** Names the audit: another call of this name goes on where an interrupted one stopped. */
  readonly auditId: string;
  /** Called before each pack with the packs done and those in all. */
  readonly onPack?: (done: number, total: number) => void;
}

/**
 * Audits packs. Sound ones are noted, so that an interrupted audit does not read them again; those
 * with findings are not, so that it does.
 *
 * @throws {StoreError | DatabaseError} If a service is unavailable, or the store has no blob at all;
 * what was checked stays checked.
 */
export async function audit(options: AuditOptions): Promise<AuditSummary> {
  const { db, auditId, onPack, onFinding } = options;
  const startedAt = performance.now();
  const { mpackIds, packsChecked } = await beginAudit(db, auditId, options);
  if (mpackIds.length > 0) await refuseEmpty(options);
  const sum = { packs: 0, damaged: 0, misread: 0, bytes: 0, objects: 0, marked: 0, restored: 0 };
  const findings: Record<string, number> = {}, repair = new Set<string>();
  const parts: AuditParts = {
    ...options,
    onFinding(finding) {
      findings[finding.code] = (findings[finding.code] ?? 0) + 1;
      if (repair.size < MAX_REPAIRS) repair.add(finding.repair);
      onFinding(finding);
    },
  };
  for (let at = 0; at < mpackIds.length; at += PAGE_PACKS) {
    for (const pack of await readAuditPacks(db, mpackIds.slice(at, at + PAGE_PACKS))) {
      onPack?.(packsChecked + sum.packs, packsChecked + mpackIds.length);
      const found = await auditPack(pack, parts);
      sum.packs++;
      sum.bytes += found.bytes;
      sum.objects += found.objects;
      sum.marked += found.marked;
      sum.restored += found.restored;
      if (found.wasMisread) sum.misread++;
      if (found.isSound) await recordValid(db, auditId, pack.mpackId);
      else sum.damaged++;
    }
  }
  await endAudit(db, auditId);
  return {
    is_sound: sum.damaged === 0,
    packs: sum.packs,
    packs_checked_before: packsChecked,
    packs_damaged: sum.damaged,
    packs_misread: sum.misread,
    bytes: sum.bytes,
    objects: sum.objects,
    findings,
    refs_marked: sum.marked,
    refs_restored: sum.restored,
    repair: [...repair],
    elapsed_ms: Math.round(performance.now() - startedAt),
  };
}

/**
 * With the settings of another place, every pack is missing: an audit would mark every ref, and the
 * readers of the right place would be refused them.
 */
async function refuseEmpty(
  { store, signal }: { readonly store: BlobStore; readonly signal: AbortSignal },
): Promise<void> {
  for await (const _ of store.list("", { signal })) return;
  throw new StoreError(
    "store-unavailable",
    `Cannot audit: ${store.url} has no blob at all. If it is the right store, push one pack again`,
  );
}
