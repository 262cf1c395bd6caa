/**
 * The route that indexes an uploaded pack by a job. The job runs on if the client hangs up.
 *
 * @module
 */

import { blobKeyOf } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { admitPush } from "../../db/quotas/admit_push.ts";
import type { Database } from "../../db/client/database.ts";
import { followJob } from "../../jobs/index/follow_job.ts";
import { type IndexPayload, MPACK_INDEX } from "../../jobs/index/payload.ts";
import { enqueue } from "../../jobs/queue/enqueue.ts";
import type { JobRow } from "../../jobs/queue/job.ts";
import { type IndexResult, resultForTenant } from "../../jobs/index/result.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { quotaWarning } from "./quota_warning.ts";
import { reply } from "../reply.ts";
import { type Route, route, tagged } from "../route.ts";
import { AcceptedAnswer, IndexAnswer, NoQuery, RepoPath, UnpackBody } from "../schemas.ts";
import { statStored } from "../store_upload.ts";

const unpack = route({
  method: "POST",
  path: "/{owner}/{slug}/push/unpack-mpack",
  id: "unpackMpack",
  summary: "Index an uploaded pack and wait for the result; the job outlives the connection.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  body: UnpackBody,
  headers: {
    prefer: { description: "`respond-async`: do not wait. `wait=N`: wait at most N seconds" },
  },
  answers: {
    200: { description: "The pack is indexed", schema: IndexAnswer },
    202: { description: "The job runs on; ask for it at Location", schema: AcceptedAnswer },
  },
  problems: [409],
  async handle({ request, body, repo, caller, context, recheck }) {
    const { db, store, config } = context, { repoId } = repo;
    const { mpack_key: mpackKey } = body;
    const stat = await statStored(store, blobKeyOf(config.blobKey, repoId, mpackKey));
    if (stat === undefined) {
      throw new HttpProblem(
        404,
        "blob-missing",
        `Cannot index ${mpackKey}: it is not in the store; upload it first`,
      );
    }
    const admission = await admitPush(db, { repoId, mpackKey, sizeBytes: stat.sizeBytes }, {
      defaults: quotaDefaultsOf(config),
      isPush: true,
    });
    const payload = {
      ...body,
      pusher_id: caller.identity?.identityId,
      // A push that may not move its branch leaves nothing.
      ...(body.branch === undefined ? {} : { strict: true }),
    };
    const { jobId } = await openJob(context, { repoId, payload });
    const prefer = preferenceOf(request.headers.get("prefer"));
    const waitMs = Math.min(prefer.waitMs ?? config.httpWaitMs, config.httpTotalMs);
    const result = waitMs === 0 ? undefined : await waitFor(db, jobId, waitMs, [
      request.signal,
      context.signal,
    ]);
    await recheck();
    if (result !== undefined) {
      return reply(request, 200, resultForTenant(result), quotaWarning(result.quota_warnings));
    }
    return reply(request, 202, { job_id: jobId, status: "pending" }, {
      ...quotaWarning(admission?.warnings),
      location: `/api/jobs/${encodeURIComponent(jobId)}`,
      ...(prefer.text === undefined ? {} : { "preference-applied": prefer.text }),
    });
  },
});

export const unpackRoutes: readonly Route[] = tagged("Pushes", [unpack]);

/** Finds an open job that does all of this, or makes one: one may move another branch. */
async function openJob(
  { db, config: { maxAttempts } }: ApiContext,
  { repoId, payload }: { readonly repoId: string; readonly payload: IndexPayload },
): Promise<JobRow> {
  const job = { repoId, jobType: MPACK_INDEX, payload: { ...payload }, maxAttempts };
  const { row, existing } = await enqueue(db, job);
  const { branch, head, force } = row.payload as Partial<IndexPayload>;
  const isSame = payload.branch === undefined ||
    branch === payload.branch && head === payload.head && (force ?? false) === !!payload.force;
  if (!existing || isSame) return row;
  return (await enqueue(db, { ...job, evenIfOpen: true })).row;
}

/**
 * Reads the `Prefer` field.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7240 | RFC 7240}
 */
function preferenceOf(field: string | null): { waitMs?: number; text?: string } {
  for (const part of field?.toLowerCase().split(",") ?? []) {
    const text = part.trim();
    if (text === "respond-async") return { waitMs: 0, text };
    const [, seconds] = /^wait=(\d{1,9})$/.exec(text) ?? [];
    if (seconds !== undefined) return { waitMs: Number(seconds) * 1000, text };
  }
  return {};
}

/** Waits for the job's result; undefined if the job is still open after `waitMs`. */
async function waitFor(
  db: Database,
  jobId: string,
  waitMs: number,
  signals: readonly AbortSignal[],
): Promise<IndexResult | undefined> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), waitMs);
  const signal = AbortSignal.any([over.signal, ...signals]);
  try {
    return await followJob(db, jobId, { signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
