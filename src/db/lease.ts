import { LeaseLostError } from "../errors.ts";

/** A worker's hold on a job. */
export interface Lease {
  /** The job's id. */
  readonly jobId: string;
  /** Raised by each claim of the job. A write that names an older fence has no effect. */
  readonly fence: number;
}

/** What renewing a lease reports. */
export interface Heartbeat {
  /** Whether a user asked to cancel the job. */
  readonly cancelRequested: boolean;
}

/** The error for a fenced write that changed no row. */
export function leaseLost(action: string, { jobId, fence }: Lease): LeaseLostError {
  return new LeaseLostError(
    `Cannot ${action}: job ${jobId} is no longer held under fence ${fence}`,
  );
}
