/**
 * The one statement before a push: its quotas are checked, its job made and claimed, and what it has
 * to be compared with is read.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { Grouped } from "../../db/client/grouped.ts";
import { type ConnectedCommit, connectedText } from "../../db/history/graph.ts";
import { type Admission, type AdmissionAnswer, admissionOf } from "../../db/quotas/admit_push.ts";
import { givenDefaults, type QuotaDefaults } from "../../db/quotas/quota.ts";
import { ConfigError } from "../../errors.ts";
import { enqueue, livesElsewhere, newJobKey } from "../queue/enqueue.ts";
import type { Job } from "../queue/job.ts";
import { branchNameFault } from "../history/branch_name.ts";
import { MPACK_INDEX } from "./payload.ts";

/** A push that is about to begin. */
export interface PushToBegin {
  readonly repoId: string;
  /** Undefined if it is known only at the end of the pack. */
  readonly mpackKey: string | undefined;
  readonly sizeBytes: number | undefined;
  /** The branch that it shall move, if that is known. */
  readonly branch: string | undefined;
  /** Of the job. */
  readonly payload: Readonly<Record<string, unknown>>;
  readonly worker: string;
  readonly leaseMs: number;
  readonly defaults: QuotaDefaults;
}

/** A branch as it was when a push began. The publish compares it once more. */
export interface SeenBranch {
  readonly name: string;
  /** Null if it is not there. */
  readonly head: string | null;
  /** The head and the commits that its jumps lead to, if the repo has all its ancestors. */
  readonly connected: readonly ConnectedCommit[];
}

/** A push that has a job. */
export interface BegunPush {
  /** Claimed; nobody else may run it. */
  readonly job: Job;
  /** As that of `admitPush()`. */
  readonly admission: Admission | undefined;
  /** The blob of the pack, if the repo has the pack already. */
  readonly known: { readonly blobKey: string; readonly etag: string } | undefined;
  readonly branch: SeenBranch | undefined;
}

type Line = [string, number, number, string, number | null][];
interface Row {
  readonly has_repo: boolean;
  /** The shard that the repo lives in instead. */
  readonly shard: string | null;
  readonly answer: AdmissionAnswer;
  readonly is_made: boolean;
  readonly blob_key: string | null;
  readonly etag: string | null;
  readonly head: string | null;
  readonly line: Line | null;
}

/** Each step looks rows up by an index, whatever the planner believes about sizes: `offset 0`. */
const TEXT = `
  with asked as materialized (
    select * from jsonb_to_recordset($1::text::jsonb) as a(place integer, repo_id text,
      mpack_key text, size_bytes bigint, defaults jsonb, branch text, job_id text, payload text,
      created_at timestamptz, worker text, lease_ms float8)
  ), admitted as materialized (
    select a.*, r.repo_id is not null as has_repo, r.shard, case when r.is_here then
      mpackd_admit_push_1(a.repo_id, a.mpack_key, a.size_bytes, null, a.defaults, true) end as answer
    from asked a left join lateral (
      select r.repo_id, r.shard, r.shard is null as is_here from musehub_repos r
      where r.repo_id = a.repo_id and r.deleted_at is null offset 0
    ) as r on true
    order by a.place
  ), made as (
    insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status, created_at,
      priority, max_attempts, attempt, fence, lease_expires_at, locked_by, started_at)
    select job_id, repo_id, '${MPACK_INDEX}', payload::json, 'running', created_at, 0, 1, 1, 1,
      now() + lease_ms * interval '1 ms', worker, now()
    from admitted where has_repo and shard is null and answer->'refused' is null
    on conflict (job_id) do nothing
    returning job_id
  )
  select a.has_repo, a.shard, a.answer, made.job_id is not null as is_made, m.blob_key, m.etag, b.head, b.line,
    -- Of this statement only. The publish of a push comes later in the server's log and is flushed
    -- with this. A crash before then loses a job that ends with it: its bytes come once.
    set_config('synchronous_commit', 'off', true) as commit
  from admitted a left join made using (job_id)
  left join lateral (
    select m.blob_key, m.etag from musehub_mpacks m
    where m.repo_id = a.repo_id and m.mpack_key = a.mpack_key offset 0
  ) as m on true
  left join lateral (
    select h.head, (
      select json_agg(json_build_array(commit_id, generation, depth, jump_id, sort_time))
      from (${connectedText("a.repo_id", "array[h.head]")}) as line
    ) as line
    from (
      select b.head_commit_id as head from musehub_branches b
      where b.repo_id = a.repo_id and b.name = a.branch and b.head_commit_id is not null
      limit 1
    ) as h
  ) as b on true
  order by a.place`;

type Group = Grouped<PushToBegin, BegunPush | Error>;

/** Begins pushes; those of one repo that come at the same time by one statement. */
export class PushStarter {
  readonly #db: Database;
  /** By repo: the check of a quota may wait for a lock of its repo. */
  readonly #groups = new Map<string, { readonly group: Group; asking: number }>();

  /** Sends to this database. */
  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * @throws {QuotaError} If a quota of the repo or its owner does not allow the pack.
   * @throws {ConfigError} `repo-not-found` if there is no such repo.
   */
  async begin(push: PushToBegin): Promise<BegunPush> {
    const { repoId } = push;
    const of = this.#groups.get(repoId) ?? {
      group: new Grouped((pushes) => beginPushes(this.#db, pushes)) as Group,
      asking: 0,
    };
    this.#groups.set(repoId, of);
    of.asking++;
    try {
      const begun = await of.group.ask(push);
      if (begun instanceof Error) throw begun;
      return begun;
    } finally {
      if (--of.asking === 0) this.#groups.delete(repoId);
    }
  }
}

async function beginPushes(
  db: Database,
  pushes: readonly PushToBegin[],
): Promise<(BegunPush | Error)[]> {
  const keys = pushes.map(({ repoId }) => newJobKey(repoId, MPACK_INDEX));
  const asked = pushes.map((push, place) => ({
    place,
    repo_id: push.repoId,
    mpack_key: push.mpackKey,
    size_bytes: push.sizeBytes,
    defaults: givenDefaults(push.defaults),
    branch: askedBranch(push),
    job_id: keys[place].jobId,
    payload: JSON.stringify(push.payload),
    created_at: keys[place].createdAt,
    worker: push.worker,
    lease_ms: push.leaseMs,
  }));
  const rows = await db.run<Row>("begin a push", TEXT, [JSON.stringify(asked)]);
  return await Promise.all(
    rows.map((row, i) => begunOf(db, pushes[i], row, keys[i].jobId).catch((error: Error) => error)),
  );
}

/** Names that no branch can have are refused later, with the reason. */
function askedBranch({ branch }: PushToBegin): string | undefined {
  return branch !== undefined && branchNameFault(branch) === undefined ? branch : undefined;
}

async function begunOf(
  db: Database,
  push: PushToBegin,
  row: Row,
  jobId: string,
): Promise<BegunPush> {
  const { repoId, payload, worker, leaseMs } = push;
  if (!row.has_repo) {
    throw new ConfigError(`Cannot begin a push: there is no repo ${repoId}`, {
      code: "repo-not-found",
    });
  }
  if (row.shard !== null) throw livesElsewhere("begin a push", repoId, row.shard);
  const admission = admissionOf(row.answer), name = askedBranch(push);
  const { blob_key: blobKey, etag } = row;
  return {
    job: row.is_made ? claimed({ jobId, repoId, payload, leaseMs }) : await enqueued(),
    admission,
    known: blobKey !== null && etag !== null ? { blobKey, etag } : undefined,
    branch: name === undefined
      ? undefined
      : { name, head: row.head, connected: (row.line ?? []).map(toConnected) },
  };

  /** Another process has made a job of this repo in the same microsecond. */
  async function enqueued(): Promise<Job> {
    const job = { repoId, jobType: MPACK_INDEX, payload, maxAttempts: 1, evenIfOpen: true };
    return (await enqueue(db, { ...job, claimAs: { worker, leaseMs } })).claimed!;
  }
}

function claimed(
  { jobId, repoId, payload, leaseMs }: Pick<Job, "jobId" | "repoId" | "payload" | "leaseMs">,
): Job {
  return {
    jobId,
    fence: 1,
    repoId,
    tenant: 0,
    jobType: MPACK_INDEX,
    payload,
    attempt: 1,
    maxAttempts: 1,
    checkpoint: null,
    progress: null,
    leaseMs,
    isRescue: false,
  };
}

function toConnected([commitId, generation, depth, jumpId, sortTime]: Line[number]) {
  return { commitId, generation, depth, jumpId, sortTime };
}
