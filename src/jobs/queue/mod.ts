/**
 * The queue. Every operation is one statement, and every write of a worker names the fence of its
 * claim.
 *
 * @module
 */
export * from "./cancel_job.ts";
export * from "./claim_jobs.ts";
export * from "./complete_job.ts";
export * from "./count_jobs.ts";
export * from "./count_without_lease.ts";
export * from "./enqueue.ts";
export * from "./fail_job.ts";
export * from "./finish_cancelled.ts";
export * from "./get_job.ts";
export * from "./has_due_jobs.ts";
export * from "./job.ts";
export * from "./list_jobs.ts";
export * from "./purge_jobs.ts";
export * from "./release_job.ts";
export * from "./renew_lease.ts";
export * from "./retry_jobs.ts";
