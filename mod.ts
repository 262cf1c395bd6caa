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
 * Objects are read back by `@mpackd/mpackd/objects`; audits and garbage collection are in
 * `@mpackd/mpackd/maintenance`, and the decoder alone in `@mpackd/mpackd/decoder`.
 *
 * @module
 */

export { type Config, loadConfig } from "./src/config/config.ts";
export { connectDatabase, type ConnectOptions } from "./src/db/client/connect.ts";
export type { Database } from "./src/db/client/database.ts";
export {
  type EmbeddedOptions,
  type EmbeddedPostgres,
  openEmbedded,
} from "./src/db/embedded/open_embedded.ts";
export type { ServerSettings } from "./src/db/embedded/server.ts";
export { createRepo, findRepo, type NewRepo, type Repo, type RepoName } from "./src/db/repos.ts";
export { migrate, type MigrateResult } from "./src/db/schema/migrate.ts";
export type { RepoHome, Shard, ShardState } from "./src/db/shards/shard.ts";
export {
  type OpenShard,
  ShardPools,
  type ShardPoolsOptions,
  type ShardToOpen,
} from "./src/db/shards/shard_pools.ts";
export * from "./src/errors.ts";
export {
  type Bundle,
  bundle,
  type BundleCounts,
  type BundleOptions,
} from "./src/history/bundle.ts";
export { type Commit, readCommit, type ReadCommitOptions } from "./src/history/read_commit.ts";
export {
  type ManifestEntry,
  readManifest,
  type ReadManifestOptions,
} from "./src/history/read_manifest.ts";
export {
  type CommitPage,
  type ListedCommit,
  walkCommits,
  type WalkCommitsOptions,
} from "./src/history/walk_commits.ts";
export type { IndexProgress } from "./src/jobs/index/context.ts";
export type { IndexPayload } from "./src/jobs/index/payload.ts";
export type { IndexMpackOptions } from "./src/jobs/index/index_mpack.ts";
export {
  enqueue,
  type EnqueuedJob,
  type EnqueueOptions,
  indexMpack,
  pushMpack,
} from "./src/jobs/index/library.ts";
export type { JobStatus } from "./src/jobs/queue/job.ts";
export type { PushOptions } from "./src/jobs/index/push_mpack.ts";
export type { BranchReport } from "./src/jobs/history/move_branch.ts";
export type { IndexResult, MaterializeCounts } from "./src/jobs/index/result.ts";
export type { MpackLimits } from "./src/stream/mpack/limits.ts";
export type * from "./src/stream/store/blob_store.ts";
export { openStore, type OpenStoreOptions } from "./src/stream/store/open_store.ts";
export type { RetryOptions } from "./src/stream/store/s3/backoff.ts";
