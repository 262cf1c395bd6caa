/**
 * Looking after what is stored: inspect a pack, audit packs, collect garbage, repack a repo.
 *
 * @example Inspect a pack that lies in a folder
 * ```ts
 * import { openStore } from "@mpackd/mpackd";
 * import { inspectMpack } from "@mpackd/mpackd/maintenance";
 * import assert from "node:assert/strict";
 *
 * const store = openStore(`file://${Deno.cwd()}/tests/corpus/samples`);
 * await using reader = await store.open("prefixed.mpack");
 * const report = await inspectMpack(reader, { isHashing: true });
 * assert.equal(report.problems.length, 0);
 * ```
 *
 * @module
 */

export {
  audit,
  type AuditContext,
  type AuditFinding,
  type AuditOptions,
  type AuditScope,
  type AuditSummary,
  type LocatedMpack,
  type MpackToAudit,
} from "./src/maintenance/audit/audit.ts";
export {
  type Collected,
  collectGarbage,
  type GcOptions,
  type GcSummary,
} from "./src/maintenance/gc/gc.ts";
export {
  inspectMpack,
  type InspectOptions,
  type LargeObject,
  type MpackProblem,
  type MpackReport,
  type SizeClass,
} from "./src/maintenance/inspect.ts";
export {
  repack,
  type RepackOptions,
  type RepackProgress,
  type RepackSummary,
} from "./src/maintenance/repack/repack.ts";
