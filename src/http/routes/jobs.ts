/**
 * Routes for jobs: list, get, watch, for the owner and the collaborators of the job's repo; retry and
 * cancel, which need push access to it.
 *
 * @module
 */

import { cancelJob } from "../../jobs/queue/cancel_job.ts";
import { listJobs, mergeJobs } from "../../jobs/queue/list_jobs.ts";
import type { JobRow } from "../../jobs/queue/job.ts";
import { whyWaiting } from "../../jobs/schedules/why_waiting.ts";
import { retryJobs } from "../../jobs/queue/retry_jobs.ts";
import { resultForTenant } from "../../jobs/index/result.ts";
import { type Access, openRepo, requireValid } from "../auth/access.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem, publicError } from "../problem.ts";
import { recheckEvery } from "../recheck.ts";
import { camelKeys, reply } from "../reply.ts";
import { type Call, type Route, route, tagged, withLsn } from "../route.ts";
import {
  JobAnswer,
  JobPath,
  JobsAnswer,
  JobsQuery,
  NoParams,
  NoQuery,
  OneJobAnswer,
} from "../schemas.ts";
import { askEverywhere, findJob, type FoundJob } from "../shards/everywhere.ts";
import { jobEvents } from "../sse.ts";

/** A time that the database can read, and a job id. */
const CURSOR = /^([0-9]{4}-[0-9T:.-]{1,20}Z)~([A-Za-z0-9:._-]{1,200})$/;

const job = { access: "identity", params: JobPath, query: NoQuery, problems: [403, 404] } as const;

const list = route({
  method: "GET",
  path: "/api/jobs",
  id: "listJobs",
  summary: "List the jobs of your repos and those you collaborate on, newest first.",
  access: "identity",
  params: NoParams,
  query: JobsQuery,
  answers: { 200: { description: "The jobs", schema: JobsAnswer } },
  problems: [403, 404],
  async handle({ request, query, caller, context }) {
    const { status, repoId, limit } = query;
    const repo = repoId === undefined
      ? undefined
      : await openRepo(context.db, { repoId }, caller, "inside");
    const { identity, isAdmin } = caller, after = cursorOf(query.after);
    const asked = { status, limit, after };
    const { answers, unreachable } = repo === undefined
      ? await askEverywhere(
        context,
        isAdmin ? undefined : identity,
        ({ db }, visibleTo) => listJobs(db, { ...asked, visibleTo }),
      )
      : {
        answers: [await listJobs((await context.at(repo.home)).db, { ...asked, repoId })],
        unreachable: [],
      };
    const rows = mergeJobs(answers, limit);
    const last = rows.at(-1);
    const next = last === undefined || rows.length < limit
      ? null
      : `${last.createdAt.toISOString()}~${last.jobId}`;
    return reply(request, 200, {
      jobs: rows.map(shownJob),
      next,
      ...(unreachable.length === 0 ? {} : { unreachable }),
    });
  },
});

const get = route({
  ...job,
  method: "GET",
  path: "/api/jobs/{jobId}",
  id: "getJob",
  summary: "Get a job.",
  answers: { 200: { description: "The job", schema: OneJobAnswer } },
  async handle(call) {
    const { job, place } = await jobOf(call, "inside"), shown = shownJob(job);
    if (job.status === "done") return await withLsn(reply(call.request, 200, shown), place);
    if (job.status !== "pending") return reply(call.request, 200, shown);
    const waitsFor = await whyWaiting(place.db, job, call.context.catalog.db);
    return reply(call.request, 200, { ...shown as object, waitsFor });
  },
});

const retryRoute = route({
  ...job,
  method: "POST",
  path: "/api/jobs/{jobId}/retry",
  id: "retryJob",
  summary: "Put a failed or cancelled job back into the queue.",
  scope: "push",
  answers: { 200: { description: "The job, pending again", schema: JobAnswer } },
  problems: [403, 404, 409],
  async handle(call) {
    const { job: { jobId, status }, place } = await jobOf(call, "push");
    using writing = await beginWrite(call, place);
    const [found] = await retryJobs(writing.db, { jobId });
    if (found === undefined) {
      throw new HttpProblem(409, "conflict", `Cannot retry the job: it is ${status}`);
    }
    return reply(call.request, 200, shownJob((await jobOf(call, "push")).job));
  },
});

const stop = route({
  ...job,
  method: "POST",
  path: "/api/jobs/{jobId}/cancel",
  id: "cancelJob",
  summary: "Cancel a job; a running one stops at its next batch.",
  scope: "push",
  answers: { 200: { description: "The job, as it is now", schema: JobAnswer } },
  async handle(call) {
    const { job: { jobId }, place } = await jobOf(call, "push");
    using writing = await beginWrite(call, place);
    await cancelJob(writing.db, jobId);
    return reply(call.request, 200, shownJob((await jobOf(call, "push")).job));
  },
});

const events = route({
  ...job,
  method: "GET",
  path: "/api/jobs/{jobId}/events",
  id: "watchJob",
  summary: "Watch a job: `progress` events, then one of `done`, `failed`, `cancelled`.",
  answers: { 200: { description: "Server-sent events", mediaType: "text/event-stream" } },
  async handle(call) {
    const { job: { jobId }, place } = await jobOf(call, "inside");
    const recheck = recheckEvery(async () => {
      await requireValid(call.caller);
      await jobOf(call, "inside");
    });
    return jobEvents(jobId, { ...call, context: place, sending: { ...call.sending, recheck } });
  },
});

export const jobRoutes: readonly Route[] = tagged("Jobs", [list, get, retryRoute, stop, events]);

/** Finds the job in the path; 404 unless the caller has this access to its repo. */
function jobOf(
  call: Pick<Call<{ jobId: string }>, "params" | "caller" | "context">,
  access: Access,
): Promise<FoundJob> {
  return findJob(call, call.params.jobId, access);
}

/** Waits until the caller may change a job: the statement waits while the job is being published. */
async function beginWrite({ request, caller, context }: Call, { pushDb: db }: ApiContext) {
  const place = await context.pushLimit.enter(caller.client, request.signal);
  return { db, [Symbol.dispose]: () => place[Symbol.dispose]() };
}

function shownJob(row: JobRow): unknown {
  const { leaseExpiresAt: _, lockedBy: __, fence: ___, ...job } = row;
  const time = (date: Date | null) => date?.toISOString() ?? null;
  return camelKeys({
    ...job,
    result: row.result === null ? null : resultForTenant(row.result as object),
    lastError: publicError(row.lastError),
    createdAt: time(row.createdAt),
    runAt: time(row.runAt),
    startedAt: time(row.startedAt),
    finishedAt: time(row.finishedAt),
  }, ["payload"]);
}

function cursorOf(text: string | undefined) {
  if (text === undefined) return undefined;
  const [, time, jobId] = CURSOR.exec(text) ?? [];
  const createdAt = new Date(time);
  if (!Number.isNaN(createdAt.getTime())) return { createdAt, jobId };
  const detail = "Cannot use the query: `after` is not the `next` of a page";
  throw new HttpProblem(400, "bad-request", detail);
}
