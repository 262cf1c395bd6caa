/**
 * mpackd as a library: index an uploaded mpack into PostgreSQL, streamed once and proved.
 *
 * An *mpack* is one MessagePack document of commits, snapshots, objects and tags, named by the
 * SHA-256 of its own bytes. {@link indexMpack} reads it once from a {@link BlobStore}, hashes and
 * decodes it at the same time, and makes its objects visible in one statement after the digest has
 * matched.
 *
 * @example Index a pack that lies in a folder
 * ```ts
 * import { connectDatabase, createRepo, indexMpack, migrate, openStore } from "@mpackd/mpackd";
 * import assert from "node:assert/strict";
 *
 * const bytes = await Deno.readFile("tests/corpus/samples/prefixed.mpack");
 * const digest = await crypto.subtle.digest("SHA-256", bytes);
 * const mpackKey = `sha256:${new Uint8Array(digest).toHex()}`;
 *
 * const db = connectDatabase(Deno.env.get("DATABASE_URL")!, { maxConnections: 2 });
 * await migrate(db);
 * const { repo } = await createRepo(db, { owner: "ada", slug: "engine" });
 *
 * const store = openStore(`file://${await Deno.makeTempDir()}`);
 * await store.put(`mpacks/${repo.repoId}/${mpackKey}`, ReadableStream.from([bytes]));
 *
 * const result = await indexMpack({ db, store, repoId: repo.repoId, mpackKey });
 * assert.equal(result.size_bytes, bytes.length);
 * assert.equal(result.object_refs_written, result.objects_total);
 * await db.close();
 * ```
 *
 * @module
 */

export { type Config, limitsOf, loadConfig, SETTINGS } from "./src/config/config.ts";
export type { Setting } from "./src/config/setting.ts";
export { connectDatabase, type ConnectOptions } from "./src/db/client/connect.ts";
export type { Database } from "./src/db/client/database.ts";
export {
  type EmbeddedOptions,
  type EmbeddedPostgres,
  openEmbedded,
} from "./src/db/embedded/open_embedded.ts";
export { migrate, type MigrateResult } from "./src/db/schema/migrate.ts";
export { createRepo, findRepo, type NewRepo, type Repo, type RepoName } from "./src/db/repos.ts";
export * from "./src/errors.ts";
export type { IndexProgress } from "./src/jobs/index/context.ts";
export type { IndexPayload } from "./src/jobs/index/index_handler.ts";
export { indexMpack, type IndexMpackOptions } from "./src/jobs/index/index_mpack.ts";
export {
  type ObjectEntry,
  readObjects,
  type ReadObjectsOptions,
} from "./src/objects/read_objects.ts";
export { pushMpack, type PushOptions } from "./src/jobs/index/push_mpack.ts";
export type { IndexResult, MaterializeCounts } from "./src/jobs/index/result.ts";
export type { ObjectLocation } from "./src/db/refs.ts";
export { filterMissing, findGhosts, type GhostOptions } from "./src/objects/ghosts.ts";
export { guardMpack, type GuardMpackOptions, type GuardResult } from "./src/objects/guard_mpack.ts";
export { locateObject } from "./src/objects/locate_object.ts";
export {
  type ByteRange,
  type ObjectContent,
  readLocated,
  type ReadLocatedOptions,
  readObject,
  type ReadObjectOptions,
} from "./src/objects/read_object.ts";
export type * from "./src/stream/store/blob_store.ts";
export { DEFAULT_LIMITS, type MpackLimits } from "./src/stream/mpack/limits.ts";
export {
  type DecoderState,
  type MpackCounts,
  MpackDecoder,
  type MpackHandler,
  type ObjectRows,
  type SectionSpan,
} from "./src/stream/mpack/mpack_decoder.ts";
export { openStore, type OpenStoreOptions } from "./src/stream/store/open_store.ts";
export type { RetryOptions } from "./src/stream/store/s3/backoff.ts";
export type { ServerSettings } from "./src/db/embedded/server.ts";
export {
  audit,
  type AuditFinding,
  type AuditOptions,
  type AuditParts,
  type AuditScope,
  type AuditSummary,
  type LocatedMpack,
  type MpackToAudit,
} from "./src/maintenance/audit/audit.ts";
export { collectGarbage, type GcOptions, type GcSummary } from "./src/maintenance/gc/gc.ts";
export {
  inspectMpack,
  type InspectOptions,
  type LargeObject,
  type MpackProblem,
  type MpackReport,
  type SizeClass,
} from "./src/maintenance/inspect.ts";
