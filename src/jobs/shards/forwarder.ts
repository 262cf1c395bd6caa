/**
 * Forwards jobs of the catalog's queue to the shards in which their repos live, and brings back how
 * they ended. Programs that put jobs into the queue know only the catalog.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { copyRepo, findHome } from "../../db/shards/catalog.ts";
import { sleep } from "../../lib/sleep.ts";
import { cancelJob } from "../queue/cancel_job.ts";
import type { Job } from "../queue/job.ts";
import {
  type EndedJob,
  endForwarded,
  forgetForwarded,
  type ForwardedJob,
  listForwarded,
  noteCancelPassed,
  noteForwarded,
  postponeForwarding,
  putForwarded,
  readJobsToForward,
  readShardJobs,
} from "./forwarded_jobs.ts";

/** How often forwarded jobs are looked at while there are some. */
const FOLLOW_MS = 1_000;
/** How often a process that knows of none looks for those of others. */
const LOOK_MS = 10_000;
/** Looking takes at most this part of the time, however many jobs there are. */
const PAUSE = 10;
/** Jobs in one statement. */
const PAGE = 1_000;
/** A shard that answers later counts as away. */
const DEADLINE_MS = 5_000;
/** Jobs of a shard that is away are tried again after so long, or up to twice that. */
const AWAY_MS = 5_000;
/** Jobs on their way to one shard; more are put off, so that a silent server holds few. */
const MAX_ON_THEIR_WAY = 1_000;

/** How to forward. */
export interface ForwarderOptions {
  readonly catalog: Database;
  /** The shard's database; undefined while it is known to be away, or its state is `moving`. */
  readonly at: (shard: string) => Database | undefined;
  /** Told when the catalog, or a shard that should answer, cannot be used. */
  readonly onError: (error: Error, shard?: string) => void;
  /** Called when jobs that were put off are due again: no notification says so. */
  readonly onDue?: () => void;
  readonly signal: AbortSignal;
  /** Milliseconds between two looks at forwarded jobs. Default 1,000. */
  readonly followMs?: number;
}

/** Forwards, and follows what was forwarded. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #onTheirWay = new Map<string, number>();
  #isFollowing = true;
  #pause = new AbortController();
  #due: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** Takes claimed jobs over. Never throws: a job that cannot be told of keeps its lease. */
  async forward(jobs: readonly Job[]): Promise<void> {
    const byShard = Map.groupBy(jobs, ({ shard }) => shard!);
    await Promise.all([...byShard].map(async ([shard, jobs]) => {
      try {
        await this.#send(shard, jobs);
      } catch (error) {
        this.#options.onError(error as Error);
      }
    }));
  }

  /** Looks at the forwarded jobs now, if there are some: a job of a shard has ended. */
  wake(): void {
    if (this.#isFollowing) this.#pause.abort();
  }

  /** Follows forwarded jobs until `signal` fires. Never throws. */
  async run(): Promise<void> {
    const { signal, followMs = FOLLOW_MS } = this.#options;
    while (!signal.aborted) {
      this.#pause = new AbortController();
      const startedAt = performance.now();
      try {
        this.#isFollowing = await this.follow();
      } catch (error) {
        this.#options.onError(error as Error);
      }
      const waitMs = Math.max(
        this.#isFollowing ? followMs : LOOK_MS,
        PAUSE * (performance.now() - startedAt),
      );
      await sleep(waitMs, AbortSignal.any([signal, this.#pause.signal])).catch(() => {});
    }
    clearTimeout(this.#due);
  }

  async #send(shard: string, jobs: readonly Job[]): Promise<void> {
    const { catalog, at, onError } = this.#options;
    const db = at(shard), before = this.#onTheirWay.get(shard) ?? 0;
    const postpone = async (jobs: readonly Job[], delayMs: number) => {
      await postponeForwarding(catalog, jobs, delayMs * (1 + Math.random()));
      this.#wakeAfter(2 * delayMs);
    };
    if (db === undefined || before + jobs.length > MAX_ON_THEIR_WAY) {
      return await postpone(jobs, AWAY_MS);
    }
    this.#onTheirWay.set(shard, before + jobs.length);
    let sent: Set<string>;
    try {
      sent = await this.#put(db, shard, jobs);
    } catch (error) {
      onError(error as Error, shard);
      return await postpone(jobs, AWAY_MS);
    } finally {
      this.#onTheirWay.set(shard, this.#onTheirWay.get(shard)! - jobs.length);
    }
    const others = jobs.filter(({ jobId }) => !sent.has(jobId));
    if (others.length > 0) await postpone(others, 1_000);
    if (sent.size === 0) return;
    await noteForwarded(catalog, shard, jobs.filter(({ jobId }) => sent.has(jobId)));
    this.#isFollowing = true;
    this.#pause.abort();
  }

  #wakeAfter(ms: number): void {
    const { onDue } = this.#options;
    if (onDue === undefined || this.#due !== undefined) return;
    this.#due = setTimeout(() => {
      this.#due = undefined;
      onDue();
    }, ms);
    Deno.unrefTimer(this.#due);
  }

  /** Puts jobs into a shard's queue, and returns the ids of those that are there. */
  async #put(db: Database, shard: string, jobs: readonly Job[]): Promise<Set<string>> {
    const { catalog } = this.#options, deadline = { deadlineMs: DEADLINE_MS };
    const rows = await readJobsToForward(catalog, jobs.map(({ jobId }) => jobId));
    // A job that was cancelled and is tried again goes on once the shard has ended it.
    const cancelled = rows.filter((row) => row.sent_to === shard && row.cancel_passed);
    const open = new Set(
      cancelled.length === 0 ? [] : (await readShardJobs(
        db,
        cancelled.map(({ job_id }) => job_id),
        deadline,
      )).filter(({ status }) => !isEnded(status)).map(({ job_id }) => job_id),
    );
    const isSent = (row: typeof rows[number]) => row.sent_to === shard && !row.cancel_passed;
    const sent = new Set(rows.filter(isSent).map(({ job_id }) => job_id));
    const toPut = rows.filter((row) => !isSent(row) && !open.has(row.job_id));
    if (toPut.length === 0) return sent;
    let put = await putForwarded(db, toPut, deadline);
    const missing = toPut.filter(({ job_id }) => !put.has(job_id));
    if (missing.length > 0) {
      for (const repoId of new Set(missing.map(({ repo_id }) => repo_id))) {
        // A repo that has just moved away has no row there either, and must not get one.
        const found = await findHome(catalog, repoId);
        if (found?.home?.shard === shard) await copyRepo(catalog, db, repoId);
      }
      put = put.union(await putForwarded(db, missing, deadline));
    }
    return sent.union(put);
  }

  /** Looks once at all forwarded jobs. Returns whether there are any. */
  async follow(): Promise<boolean> {
    const { catalog, at, onError } = this.#options;
    let found = false, after = "";
    while (true) {
      const page = await listForwarded(catalog, { after, limit: PAGE });
      found ||= page.length > 0;
      const byShard = Map.groupBy(page, ({ shard }) => shard);
      await Promise.all([...byShard].map(async ([shard, jobs]) => {
        const db = at(shard);
        if (db === undefined) return;
        try {
          await this.#followIn(db, jobs);
        } catch (error) {
          onError(error as Error, shard);
        }
      }));
      if (page.length < PAGE || this.#options.signal.aborted) return found;
      after = page[PAGE - 1].job_id;
    }
  }

  async #followIn(db: Database, jobs: readonly ForwardedJob[]): Promise<void> {
    const { catalog } = this.#options, deadline = { deadlineMs: DEADLINE_MS };
    const rows = await readShardJobs(db, jobs.map(({ job_id }) => job_id), deadline);
    const byId = new Map(rows.map((row) => [row.job_id, row]));
    const ended: EndedJob[] = [], gone: ForwardedJob[] = [], toCancel: ForwardedJob[] = [];
    for (const job of jobs) {
      const row = byId.get(job.job_id), isCancelled = job.status === "cancelled";
      // Purged in the catalog, or in the shard; or the repo has moved, and its jobs with it.
      if (row === undefined || job.status === null) gone.push(job);
      else if (isCancelled || job.cancel_requested) {
        if (isEnded(row.status)) ended.push({ ...row, fence: job.fence });
        else if (!job.cancel_passed) toCancel.push(job);
      } // Cancelled, and to be tried again: its next claim sees to it.
      else if (!job.cancel_passed && isEnded(row.status)) {
        ended.push({ ...row, fence: job.fence });
      }
    }
    for (const { job_id } of toCancel) await cancelJob(db, job_id);
    if (toCancel.length > 0) await noteCancelPassed(catalog, toCancel);
    if (ended.length > 0) await endForwarded(catalog, ended);
    if (gone.length > 0) await forgetForwarded(catalog, gone);
  }
}

function isEnded(status: string): boolean {
  return status === "done" || status === "failed" || status === "cancelled";
}
