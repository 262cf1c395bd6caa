import type { Database } from "../../../src/db/client/database.ts";
import type { ObjectColumns } from "../../../src/lib/object_columns.ts";
import type { PublishPack } from "../../../src/db/publish/publish_pack.ts";
import { claimJobs, enqueue, type Job } from "../../../src/jobs/queue/mod.ts";

/** The repo of these jobs; make it with `addRepos`. */
export const REPO_ID = "repo-1";

let jobs = 0;

/** Enqueues a job for a pack of its own and claims it. */
export async function startJob(db: Database, repoId = REPO_ID): Promise<Job> {
  const { claimed } = await enqueue(db, {
    repoId,
    jobType: "mpack.index",
    payload: { mpack_key: `sha256:${++jobs}` },
    claimAs: { worker: "test", leaseMs: 60_000 },
  });
  return claimed!;
}

/** Lets the lease lapse, so that the next claim takes the job. */
export async function expireLease(db: Database, jobId: string): Promise<void> {
  await db.sql`update musehub_background_jobs set lease_expires_at = now() - interval '1 s'
    where job_id = ${jobId} and status = 'running'`;
}

/** Claims a job for another worker, after its lease has expired. */
export async function takeOver(db: Database, jobId: string): Promise<Job> {
  await expireLease(db, jobId);
  const [job] = await claimJobs(db, {
    worker: "successor",
    jobTypes: ["mpack.index"],
    leaseMs: 60_000,
    limit: 1,
    perRepo: 1_000,
    jobId,
  });
  return job;
}

/** Rows in pack order: each content follows the one before. */
export function columns(...objects: [id: string, sizeBytes: number][]): ObjectColumns {
  let offset = 10;
  return {
    length: objects.length,
    idsText: objects.map(([id]) => id).join(","),
    sizesBytes: objects.map(([, sizeBytes]) => sizeBytes),
    contentOffsets: objects.map(([, sizeBytes]) => (offset += sizeBytes + 5) - sizeBytes),
  };
}

/** A pack to publish, of nothing but what is given. */
export function pack(changes: Partial<PublishPack>): PublishPack {
  return {
    repoId: REPO_ID,
    mpackKey: "sha256:aa",
    blobKey: "mpacks/repo-1/sha256:aa",
    etag: "e1",
    sizeBytes: 1_000,
    commits: 1,
    snapshots: 2,
    tags: 3,
    objects: changes.inline?.length ?? 0,
    storageUri: "mpack://sha256:aa",
    sortedUnique: false,
    batches: 0,
    result: { mpack_key: "sha256:aa", elapsed_ms: 5, phases_ms: { open: 1 } },
    ...changes,
  };
}
