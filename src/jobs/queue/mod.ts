/**
 * The queue: every operation is one statement that stands alone, and every write of a worker names
 * the fence of its claim.
 *
 * @module
 */
export * from "./cancel.ts";
export * from "./claim.ts";
export * from "./complete.ts";
export * from "./counts.ts";
export * from "./due.ts";
export * from "./enqueue.ts";
export * from "./fail.ts";
export * from "./job.ts";
export * from "./list.ts";
export * from "./purge.ts";
export * from "./release.ts";
export * from "./renew.ts";
export * from "./retry.ts";
