/**
 * Questions to all shards: lists that are merged, and jobs that are found by their id.
 *
 * @module
 */

import type { Viewer } from "../../db/activity.ts";
import { findCollaborations, type RepoForIdentity } from "../../db/collaborators.ts";
import { askShards } from "../../db/shards/ask_shards.ts";
import { DatabaseError } from "../../errors.ts";
import { getJob } from "../../jobs/queue/get_job.ts";
import type { JobRow } from "../../jobs/queue/job.ts";
import { type Access, openRepo } from "../auth/access.ts";
import type { Caller } from "../auth/authenticate.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";

/** A shard that was added is in lists after this. */
const LIST_AGE_MS = 5_000;
/** Other programs choose their own job ids. */
const JOB_ID = /^[A-Za-z0-9:._-]{1,200}$/;

/** Answers of all shards, the catalog's first. */
export interface Everywhere<Answer> {
  readonly answers: readonly Answer[];
  /** The shards that did not answer. */
  readonly unreachable: readonly string[];
}

/**
 * Asks the catalog and all its shards at once. Without shards this is one question to the catalog.
 *
 * @param viewer Whose repos are asked for. A shard does not know who collaborates on which repo, so
 * `ask` gets the viewer with these.
 * @param options.reading Where to read of a place. Who may see what is still asked of the catalog itself.
 */
export async function askEverywhere<Answer>(
  context: ApiContext,
  viewer: Viewer | undefined,
  ask: (place: ApiContext, viewer: Viewer | undefined) => Promise<Answer>,
  { reading = (place) => Promise.resolve(place) }: {
    readonly reading?: (place: ApiContext) => Promise<ApiContext>;
  } = {},
): Promise<Everywhere<Answer>> {
  const { catalog } = context, all = await catalog.shards.all({ maxAgeMs: LIST_AGE_MS });
  if (all.length === 1) {
    const place = await reading(catalog);
    if (place === catalog) return { answers: [await ask(catalog, viewer)], unreachable: [] };
  }
  const asking = viewer && {
    ...viewer,
    repoIds: await findCollaborations(catalog.db, viewer.identityId),
  };
  const { answers, unreachable } = await askShards(all, async (_, { shard }) => {
    const home = shard && { shard: shard.name, version: shard.version };
    return await ask(await reading(await catalog.at(home)), asking);
  });
  return { answers: answers.map(({ answer }) => answer), unreachable };
}

/** A job, its repo, and the context of the database that it is in. */
export interface FoundJob {
  readonly job: JobRow;
  readonly repo: RepoForIdentity;
  readonly place: ApiContext;
}

interface Asking {
  readonly context: ApiContext;
  readonly caller: Caller;
}

/**
 * Finds a job by its id.
 *
 * @throws {HttpProblem} 404 unless the caller has this access to its repo.
 * @throws {DatabaseError} If it is nowhere, and a shard does not answer that may have it.
 */
export async function findJob(asking: Asking, jobId: string, access: Access): Promise<FoundJob> {
  const { job, repo, place } = await look(asking, jobId, access);
  if (repo === undefined) throw noSuchJob();
  return { job, repo, place };
}

/** The same, and for an admin also a job whose repo is deleted or unknown: that one has no repo. */
export async function findJobOrStray(
  asking: Asking,
  jobId: string,
  access: Access,
): Promise<Omit<FoundJob, "repo"> & { readonly repo: RepoForIdentity | undefined }> {
  const found = await look(asking, jobId, access);
  if (found.repo === undefined && !asking.caller.isAdmin) throw noSuchJob();
  return found;
}

/** Finds a job wherever it is; without its repo if there is none that the caller may access so. */
async function look({ context, caller }: Asking, jobId: string, access: Access) {
  if (!JOB_ID.test(jobId)) throw noSuchJob();
  const { answers, unreachable } = await askEverywhere(context, undefined, async (place) => ({
    place,
    job: await getJob(place.db, jobId),
  }));
  for (const { job, place } of answers.toReversed()) {
    if (job === undefined) continue;
    const repo = await repoOf(context, job, caller, access);
    // A repo that has moved may have left its rows behind. A job that another program has put into
    // the catalog's queue is there until a worker has forwarded it.
    const isCurrent = repo === undefined || place === context.catalog ||
      place === await context.at(repo.home);
    if (isCurrent) return { job, repo, place };
  }
  if (unreachable.length === 0) throw noSuchJob();
  throw new DatabaseError(`Cannot look for the job in shard ${unreachable[0]}: no answer`, {
    shard: unreachable[0],
  });
}

async function repoOf(
  { catalog }: ApiContext,
  { repoId }: JobRow,
  caller: Caller,
  access: Access,
): Promise<RepoForIdentity | undefined> {
  try {
    return await openRepo(catalog.db, { repoId }, caller, access);
  } catch (error) {
    if (error instanceof HttpProblem) return undefined;
    throw error;
  }
}

function noSuchJob(): HttpProblem {
  return new HttpProblem(404, "job-not-found", "Cannot find such a job");
}
