import type { Lease } from "../../db/lease.ts";

/** Where a job stands. */
export type JobStatus = "pending" | "running" | "done" | "failed" | "cancelled";

/** Claims a job may have when its row does not say. */
export const DEFAULT_MAX_ATTEMPTS = 10;

/** A job that this worker holds. */
export interface Job extends Lease {
  /** The repo it works for. */
  readonly repoId: string;
  /** Which handler it is for. */
  readonly jobType: string;
  /** What the producer wrote; check before use. */
  readonly payload: Record<string, unknown>;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** How many it may have. */
  readonly maxAttempts: number;
  /** Where an earlier attempt stopped, or null. */
  readonly checkpoint: unknown;
  /** How far that attempt said it was, or null. */
  readonly progress: unknown;
  /** How long the lease was given, in milliseconds. */
  readonly leaseMs: number;
  /** Whether an earlier worker let its lease lapse. */
  readonly isRescue: boolean;
}

/** Why an attempt ended, as the job's row keeps it. */
export interface JobFailure {
  /** The error's code. */
  readonly code: string;
  /** What happened, for people. */
  readonly message: string;
  /** Whether the same job may succeed later. */
  readonly retryable: boolean;
  /** First byte to blame, where there is one. */
  readonly offset_bytes?: number;
}

/** A job's row, for people and programs to look at. */
export interface JobRow {
  /** Its id. */
  readonly jobId: string;
  /** The repo it works for. */
  readonly repoId: string;
  /** Which handler it is for. */
  readonly jobType: string;
  /** What the producer wrote. */
  readonly payload: Record<string, unknown>;
  /** Where it stands. */
  readonly status: JobStatus;
  /** When it was enqueued. */
  readonly createdAt: Date;
  /** How often it was claimed. */
  readonly attempt: number;
  /** How often it may be. */
  readonly maxAttempts: number;
  /** Higher goes first. */
  readonly priority: number;
  /** The fence of its last claim. */
  readonly fence: number;
  /** Not to be claimed before; null for at once. */
  readonly runAt: Date | null;
  /** Until when its worker holds it. */
  readonly leaseExpiresAt: Date | null;
  /** Who holds it, or did last. */
  readonly lockedBy: string | null;
  /** How far it is. */
  readonly progress: unknown;
  /** What it achieved. */
  readonly result: unknown;
  /** Why its last attempt ended. */
  readonly lastError: (JobFailure & { readonly at: string }) | null;
  /** Whether its worker was asked to stop. */
  readonly cancelRequested: boolean;
  /** When its last attempt began. */
  readonly startedAt: Date | null;
  /** When it ended for good. */
  readonly finishedAt: Date | null;
}
