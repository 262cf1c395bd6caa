/**
 * What the console does with jobs.
 *
 * @module
 */

import { parseRepoName } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import { MPACK_AUDIT } from "../../jobs/audit_handler.ts";
import { cancelJob } from "../../jobs/queue/cancel_job.ts";
import { pause, resume } from "../../jobs/schedules/pauses.ts";
import { enqueue } from "../../jobs/queue/enqueue.ts";
import { isMpackKey } from "../../lib/ids.ts";
import { openRepo } from "../auth/access.ts";
import { purgeJobs } from "../../jobs/queue/purge_jobs.ts";
import { retryJobs } from "../../jobs/queue/retry_jobs.ts";
import { runNow } from "../../jobs/schedules/fire.ts";
import { pauseSchedule } from "../../jobs/schedules/schedules.ts";
import type { Caller } from "../auth/authenticate.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { findJobOrStray } from "../shards/everywhere.ts";
import type { ActionForm, JobAction } from "./pages/confirm.tsx";

/**
 * Does the action with each job that the caller may change. Others are passed over: to tell why would
 * tell whether they exist.
 *
 * @returns How many jobs changed.
 * @throws {HttpProblem} 403 if the session may only read.
 */
export async function act(
  { action, jobIds }: ActionForm,
  { caller, context, wrote, signal }: Acting & { readonly signal: AbortSignal },
): Promise<number> {
  if (!caller.scopes.has("push") && !caller.isAdmin) {
    throw new HttpProblem(403, "forbidden", "Cannot do this with a token that only reads");
  }
  // The statements wait while a job is being published.
  using _place = await context.pushLimit.enter(caller.client, signal);
  let changed = 0;
  for (const jobId of jobIds) {
    try {
      const { place } = await findJobOrStray({ caller, context }, jobId, "push");
      if (await ACTIONS[action](place, jobId)) changed++;
      wrote.add(place);
    } catch (error) {
      if (!(error instanceof HttpProblem)) throw error;
    }
  }
  return changed;
}

const ACTIONS: Record<JobAction, (context: ApiContext, jobId: string) => Promise<boolean>> = {
  retry: async ({ pushDb }, jobId) => (await retryJobs(pushDb, { jobId })).length > 0,
  cancel: async ({ pushDb }, jobId) => {
    const status = await cancelJob(pushDb, jobId);
    return status === "cancelled" || status === "running";
  },
  purge: async ({ pushDb }, jobId) =>
    await purgeJobs(pushDb, { olderThanMs: 0, jobIds: [jobId], limit: 1 }) > 0,
};

/**
 * Runs or pauses a schedule, or pauses the queue.
 *
 * @throws {HttpProblem} 404 for who is no admin, or if there is no such schedule.
 */
export async function changeSchedule(
  form: URLSearchParams,
  { caller, context, wrote }: Acting,
): Promise<void> {
  const { db } = context;
  const name = form.get("name") ?? "", action = form.get("action") ?? "";
  const changes: Record<string, () => Promise<unknown>> = {
    "run": () => runNow(db, name),
    "pause": () => pauseSchedule(db, name, true),
    "resume": () => pauseSchedule(db, name, false),
    "pause-queue": async () => (await pause(db, { kind: "all" }), true),
    "resume-queue": async () => (await resume(db, { kind: "all" }), true),
  };
  const change = Object.hasOwn(changes, action) ? changes[action] : undefined;
  const isDone = caller.isAdmin && change !== undefined && await change();
  wrote.add(context);
  if (!isDone) throw new HttpProblem(404, "not-found", "Cannot find such a schedule");
}

/** What an action works with. */
export interface Acting {
  readonly caller: Caller;
  readonly context: ApiContext;
  /** Gets the places in which something was written. */
  readonly wrote: Set<ApiContext>;
}

/**
 * Enqueues an audit of a pack.
 *
 * @returns The job's id.
 * @throws {HttpProblem} 403 for who may not push to the repo, 404 if there is none.
 */
export async function auditPack(form: URLSearchParams, acting: Acting): Promise<string> {
  const { context } = acting, { config } = context;
  const mpackKey = form.get("mpack") ?? "", { repoId, home } = await repoOfForm(form, acting);
  if (!isMpackKey(mpackKey)) throw new HttpProblem(404, "not-found", "Cannot find such a pack");
  const place = await context.at(home);
  acting.wrote.add(place);
  const { row } = await enqueue(place.db, {
    repoId,
    jobType: MPACK_AUDIT,
    payload: { mpack_key: mpackKey },
    maxAttempts: config.maxAttempts,
  });
  return row.jobId;
}

/**
 * The repo that a form names, for a caller that may push to it.
 *
 * @throws {HttpProblem} 403 or 404.
 */
export async function repoOfForm(form: URLSearchParams, { caller, context: { db } }: Acting) {
  if (!caller.scopes.has("push") && !caller.isAdmin) {
    throw new HttpProblem(403, "forbidden", "Cannot do this with a token that only reads");
  }
  try {
    return await openRepo(db, parseRepoName(form.get("repo") ?? ""), caller, "push");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new HttpProblem(404, "repo-not-found", "Cannot find such a repo");
  }
}
