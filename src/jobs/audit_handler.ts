/**
 * What an `mpack.audit` job asks for, and the handler that does it.
 *
 * @module
 */

import { type Config, limitsOf } from "../config/config.ts";
import type { Database } from "../db/client/database.ts";
import { InvalidMpackError } from "../errors.ts";
import { isMpackKey } from "../lib/ids.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import { audit, type AuditFinding, type AuditSummary } from "../maintenance/audit/audit.ts";
import type { Handler } from "./attempt/handler.ts";
import { completeJob } from "./queue/complete_job.ts";

/** The job type. */
export const MPACK_AUDIT = "mpack.audit";

/** Findings kept in the job's row; all of them are counted. */
const KEPT_FINDINGS = 100;

/** What producers write; all of it optional: then every pack of the repo is audited. */
export interface AuditPayload {
  /** Only this pack. */
  readonly mpack_key?: string;
  /** Only so many percent of the packs, chosen at random. */
  readonly sample_percent?: number;
}

/** What the job's row holds afterwards. A job that found damage is done, not failed. */
export interface AuditResult extends AuditSummary {
  /** The first findings. */
  readonly first_findings: readonly AuditFinding[];
}

/** A handler for `mpack.audit` jobs: audits the job's repo, and goes on where it was cut off. */
export function auditHandler(
  { db, store, config }: {
    readonly db: Database;
    readonly store: BlobStore;
    readonly config: Config;
  },
): Handler<AuditResult> {
  return async (job, scope) => {
    const { mpack_key, sample_percent } = checkAuditPayload(job.payload);
    const findings: AuditFinding[] = [];
    const summary = await audit({
      db,
      store,
      limits: limitsOf(config),
      signal: scope.signal,
      auditId: job.jobId,
      repoId: job.repoId,
      mpackKey: mpack_key,
      samplePercent: sample_percent,
      onFinding: (finding) => {
        if (findings.length < KEPT_FINDINGS) findings.push(finding);
      },
    });
    const result = { ...summary, first_findings: findings };
    scope.finishing();
    await completeJob(db, job, result);
    return result;
  };
}

/**
 * A payload in the shape the audit needs.
 *
 * @throws {InvalidMpackError} `unexpected-shape`.
 */
export function checkAuditPayload(payload: unknown): AuditPayload {
  const { mpack_key, sample_percent } = (payload ?? {}) as Record<string, unknown>;
  if (mpack_key !== undefined && !(typeof mpack_key === "string" && isMpackKey(mpack_key))) {
    throw new InvalidMpackError(
      "unexpected-shape",
      `Cannot run the job: its payload's mpack_key is ${JSON.stringify(mpack_key)}`,
    );
  }
  const percent = sample_percent;
  if (percent !== undefined && !(typeof percent === "number" && percent > 0 && percent <= 100)) {
    throw new InvalidMpackError(
      "unexpected-shape",
      `Cannot run the job: its payload's sample_percent is ${JSON.stringify(percent)}`,
    );
  }
  return { mpack_key, sample_percent: percent };
}
