/**
 * The payload and the handler of `mpack.audit` jobs.
 *
 * @module
 */

import { limitsOf } from "../config/config.ts";
import { InvalidMpackError } from "../errors.ts";
import { isMpackKey } from "../lib/ids.ts";
import { audit, type AuditFinding, type AuditSummary } from "../maintenance/audit/audit.ts";
import type { JobHandler } from "./attempt/handler.ts";
import type { IndexContext } from "./index/context.ts";
import { completeJob } from "./queue/complete_job.ts";

/** The type of jobs that audit packs. */
export const MPACK_AUDIT = "mpack.audit";

/** Most findings in the job's row; all are counted. */
const MAX_FINDINGS = 100;

/** All fields are optional; without any, every pack of the repo is audited. */
interface AuditPayload {
  /** Only this pack. */
  readonly mpack_key?: string;
  /** Only this percentage of the packs, chosen at random. */
  readonly sample_percent?: number;
}

/** The result in the job's row. A job that found damage is done, not failed. */
interface AuditResult extends AuditSummary {
  /** The first findings. */
  readonly first_findings: readonly AuditFinding[];
}

/** The handler of `mpack.audit` jobs: audits the job's repo, or continues an interrupted audit. */
export function auditHandler(
  { db, store, config }: Pick<IndexContext, "db" | "store" | "config">,
): JobHandler<AuditResult> {
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
        if (findings.length < MAX_FINDINGS) findings.push(finding);
      },
    });
    const result = { ...summary, first_findings: findings };
    scope.finishing();
    await completeJob(db, job, result);
    return result;
  };
}

/**
 * Checks a job's payload.
 *
 * @throws {InvalidMpackError} `unexpected-shape`.
 */
function checkAuditPayload(payload: unknown): AuditPayload {
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
