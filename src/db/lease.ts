import { LeaseLostError } from "../errors.ts";

/** A worker's hold on a job: the job, and the fence that its claim got. */
export interface Lease {
  /** The job. */
  readonly jobId: string;
  /** Grows with each claim of the job; a write under an older one has no effect. */
  readonly fence: number;
}

/** What a heartbeat brings back. */
export interface Heartbeat {
  /** Whether somebody asked for the job to be cancelled. */
  readonly cancelRequested: boolean;
}

/** The error for a fenced write that met no row. */
export function leaseLost(action: string, { jobId, fence }: Lease): LeaseLostError {
  return new LeaseLostError(
    `Cannot ${action}: job ${jobId} is no longer held under fence ${fence}`,
  );
}
