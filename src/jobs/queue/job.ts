import type { Lease } from "../../db/lease.ts";

/** The status words of the jobs table. */
export type JobStatus = "pending" | "running" | "done" | "failed" | "cancelled";

/** How often a job may be claimed if its row does not say. */
export const DEFAULT_MAX_ATTEMPTS = 10;

/** A job that this worker has claimed. */
export interface Job extends Lease {
  readonly repoId: string;
  /** One number for all repos of one owner; workers let them take turns by it. 0: not known. */
  readonly tenant: number;
  /** Decides which handler runs it. */
  readonly jobType: string;
  /** What the producer wrote; check it before use. */
  readonly payload: Record<string, unknown>;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Where the attempt before stopped, or null. */
  readonly checkpoint: unknown;
  /** The progress that the attempt before reported, or null. */
  readonly progress: unknown;
  /** Length of the lease in milliseconds. */
  readonly leaseMs: number;
  /** Whether another worker let its lease expire. */
  readonly isRescue: boolean;
  /** The shard in which its repo lives; undefined: the database whose queue it is in. */
  readonly shard?: string;
}

/** Why an attempt ended, as the job's row stores it. */
export interface JobFailure {
  /** The error's code. */
  readonly code: string;
  /** What happened, for people. */
  readonly message: string;
  /** Whether another attempt may succeed. */
  readonly retryable: boolean;
  /** First byte of what is wrong with the pack, where one is to blame. */
  readonly offset_bytes?: number;
}

/** A job as its row says. */
export interface JobRow {
  /** The job's id. */
  readonly jobId: string;
  /** The repo it works for. */
  readonly repoId: string;
  /** Decides which handler runs it. */
  readonly jobType: string;
  /** What the producer wrote. */
  readonly payload: Record<string, unknown>;
  /** Pending, running, or how it ended. */
  readonly status: JobStatus;
  /** When it was enqueued. */
  readonly createdAt: Date;
  /** How often it was claimed. */
  readonly attempt: number;
  /** How often it may be claimed. */
  readonly maxAttempts: number;
  /** Higher goes first. */
  readonly priority: number;
  /** The fence of its last claim. */
  readonly fence: number;
  /** The job is not claimed before; null: it may be claimed at once. */
  readonly runAt: Date | null;
  /** When its worker's lease expires. */
  readonly leaseExpiresAt: Date | null;
  /** The worker that claimed it last. */
  readonly lockedBy: string | null;
  /** What its worker reported last. */
  readonly progress: unknown;
  /** The result of a job that is done. */
  readonly result: unknown;
  /** Why its last attempt ended. */
  readonly lastError: (JobFailure & { readonly at: string }) | null;
  /** Whether a user asked to cancel it. */
  readonly cancelRequested: boolean;
  /** When its last attempt began. */
  readonly startedAt: Date | null;
  /** When it was done, failed or cancelled. */
  readonly finishedAt: Date | null;
}
