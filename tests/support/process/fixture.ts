/**
 * A database, a store and a repo for one test, and what to look at afterwards.
 *
 * @module
 */

import { type Config, loadConfig } from "../../../src/config/config.ts";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { createRepo, type Repo } from "../../../src/db/repos.ts";
import type { IndexMpackOptions } from "../../../src/jobs/index/index_mpack.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { mpackKey } from "../mpack/mpacks.ts";
import { nameAnew } from "../postgres/database.ts";
import { createMigratedDatabase, createTestDatabase } from "../postgres/postgres.ts";

/** Everything one test works on. */
export interface TestFixture extends AsyncDisposable {
  /** Connected and migrated. */
  readonly db: Database;
  /** The same database, for other processes. */
  readonly databaseUrl: string;
  /** A folder store, or the one given. */
  readonly store: BlobStore;
  /** The folder store's folder; empty where another store was given. */
  readonly folder: string;
  /** A repo. */
  readonly repo: Repo;
  /** Puts a pack into the store under its own key, or another one; returns the key. */
  put(bytes: Uint8Array, mpackKey?: string): Promise<string>;
  /** The path of a stored pack's file. */
  blobPath(mpackKey: string): string;
  /** Options for `indexMpack()`. */
  options(mpackKey: string, env?: Record<string, string>): IndexMpackOptions;
  /** The defaults, with some changed. */
  config(env?: Record<string, string>): Config;
  /** Every table that readers see, as text, without times and the ids of jobs. */
  dump(): Promise<string>;
  /** How many rows lie staged, for any job. */
  staged(): Promise<number>;
  /** Empties every table but those of repos. */
  empty(): Promise<void>;
}

/** What a fixture is made of; by default of a new folder, and a database on the run's server. */
export interface FixtureOptions {
  /** The store. */
  readonly store?: BlobStore;
  /** The URL of a server, where a test does things to it. */
  readonly server?: string;
}

/** Makes a fixture; dispose of it. */
export async function createFixture(options: FixtureOptions = {}): Promise<TestFixture> {
  const { server } = options;
  const database =
    await (server === undefined ? createMigratedDatabase() : createTestDatabase("test", server));
  const db = connectDatabase(database.url, { maxConnections: 4 });
  await (server === undefined ? nameAnew(db) : migrate(db));
  const { repo } = await createRepo(db, { owner: "me", slug: "repo" });
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const store = options.store ?? await openFileStore(folder);
  const blobKey = (key: string) => `mpacks/${repo.repoId}/${key}`;
  const config = (env: Record<string, string> = {}) => loadConfig(env);
  return {
    db,
    databaseUrl: database.url,
    store,
    folder,
    repo,
    config,
    async put(bytes, key = mpackKey(bytes)) {
      await store.put(blobKey(key), ReadableStream.from([bytes]), { sizeBytes: bytes.length });
      return key;
    },
    blobPath: (key) => `${folder}/${blobKey(key)}`,
    options: (key, env) => ({
      db,
      store,
      repoId: repo.repoId,
      mpackKey: key,
      config: config(env),
    }),
    dump: () => dump(db),
    async staged() {
      const [{ rows }] = await db.sql`select (select count(*) from mpack_staged_objects)::int
        + (select count(*) from mpack_staged_records)::int as rows`;
      return rows;
    },
    async empty() {
      await db.sql`truncate musehub_objects, musehub_object_refs, musehub_mpacks,
        musehub_background_jobs, musehub_commits, musehub_snapshots, musehub_commit_refs,
        musehub_snapshot_refs, musehub_commit_graph, musehub_branches, musehub_tags,
        mpack_staged_objects, mpack_staged_records, mpack_guard_ids, mpackd_collections
        restart identity`;
      await db.sql`update musehub_repos set default_branch = null`;
    },
    async [Symbol.asyncDispose]() {
      await db.close();
      await database.drop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function dump({ sql }: Database): Promise<string> {
  const tables = [
    // What all repos share: rows that no reader sees without those of a repo.
    [
      ...await sql`select object_id, storage_uri, size_bytes, content_offset from musehub_objects
        order by object_id collate "C"`,
      ...await sql`select commit_id, storage_uri, record_offset, record_bytes from musehub_commits
        order by commit_id collate "C"`,
      ...await sql`select snapshot_id, storage_uri, record_offset, record_bytes
        from musehub_snapshots order by snapshot_id collate "C"`,
    ],
    await sql`select repo_id, object_id, mpack_id, content_offset, size_bytes, damaged_at
      from musehub_object_refs order by repo_id collate "C", object_id collate "C"`,
    await sql`select mpack_id, repo_id, mpack_key, blob_key, etag, size_bytes, objects, commits,
      snapshots, tags from musehub_mpacks order by mpack_id`,
    await sql`select last_value, is_called from musehub_mpacks_mpack_id_seq`,
    await sql`select repo_id, commit_id, mpack_id, record_offset, record_bytes, snapshot_id, author,
        committed_at, committed_time, message, annotations, annotations_merged, damaged_at
      from musehub_commit_refs order by repo_id collate "C", commit_id collate "C"`,
    await sql`select repo_id, snapshot_id, mpack_id, record_offset, record_bytes, entries,
        parent_snapshot_id, delta_depth, damaged_at
      from musehub_snapshot_refs order by repo_id collate "C", snapshot_id collate "C"`,
    await sql`select * from musehub_commit_graph
      order by repo_id collate "C", commit_id collate "C"`,
    await sql`select repo_id, name, head_commit_id from musehub_branches
      order by repo_id collate "C", name collate "C"`,
    await sql`select repo_id, tag, commit_id from musehub_tags
      order by repo_id collate "C", tag collate "C"`,
    await sql`select repo_id, default_branch from musehub_repos order by repo_id collate "C"`,
  ];
  return tables.map((rows) => rows.map((row) => JSON.stringify(row)).join("\n")).join("\n\n");
}
