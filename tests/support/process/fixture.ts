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
import { createTestDatabase } from "../postgres/postgres.ts";

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
  const database = await createTestDatabase("test", options.server);
  const db = connectDatabase(database.url, { maxConnections: 4 });
  await migrate(db);
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
      const [{ rows }] = await db.sql`select count(*)::int as rows from mpack_staged_objects`;
      return rows;
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
    await sql`select object_id, storage_uri, size_bytes, content_offset from musehub_objects
      order by object_id collate "C"`,
    await sql`select repo_id, object_id, mpack_id, content_offset, size_bytes, damaged_at
      from musehub_object_refs order by repo_id collate "C", object_id collate "C"`,
    await sql`select mpack_id, repo_id, mpack_key, blob_key, etag, size_bytes, objects, commits,
      snapshots, tags from musehub_mpacks order by mpack_id`,
    await sql`select last_value, is_called from musehub_mpacks_mpack_id_seq`,
  ];
  return tables.map((rows) => rows.map((row) => JSON.stringify(row)).join("\n")).join("\n\n");
}
