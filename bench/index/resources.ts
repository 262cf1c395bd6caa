/**
 * What the bench works on: a PostgreSQL of its own with its defaults, a folder, and packs.
 *
 * @module
 */

import { createHash } from "node:crypto";
import {
  type BlobStore,
  connectDatabase,
  createRepo,
  type Database,
  findRepo,
  type IndexResult,
  loadConfig,
  migrate,
  openEmbedded,
  openStore,
} from "../../mod.ts";
// Not the one of mod.ts: one database has several stores here.
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { timed } from "./measure.ts";

const REPO = { owner: "bench", slug: "bench" };

/** A pack in the store. */
export interface Pack {
  /** Its key. */
  readonly mpackKey: string;
  /** Its length in bytes. */
  readonly sizeBytes: number;
  /** How many objects it has. */
  readonly objects: number;
  /** Where it lies. */
  readonly path: string;
}

/** A database with mpackd's tables. */
export interface BenchDatabase {
  /** Connected, migrated. */
  readonly db: Database;
  /** Where it is, password included. */
  readonly url: string;
  /** Deletes it. */
  drop(): Promise<void>;
}

/** How one job is run. */
export interface JobOptions {
  /** Settings. */
  readonly env?: Record<string, string>;
  /** Another store than the folder. */
  readonly store?: BlobStore;
  /** Another database than `db`. */
  readonly db?: Database;
}

/** The bench's databases, store and repo. */
export interface BenchResources extends AsyncDisposable {
  /** The database that most parts use. */
  readonly db: Database;
  /** The server's version. */
  readonly version: string;
  /** The one repo. */
  readonly repoId: string;
  /** A folder for the files of a part; deleted with the resources. */
  readonly folder: string;
  /** What `main.ts` needs to work on the same database and store. */
  readonly env: Record<string, string>;
  /** Makes a pack and puts it into the store; the same shape is made once. */
  make(shape: Partial<MpackShape>): Promise<Pack>;
  /** Deletes a pack's bytes. */
  forget(pack: Pack): Promise<void>;
  /** Runs the whole job on a pack, in this process. */
  index(pack: Pack, options?: JobOptions): Promise<{ seconds: number; value: IndexResult }>;
  /** Empties every table but the repos', and settles the disk. */
  empty(): Promise<void>;
  /** Copies the database. Nothing else may be connected to it meanwhile. */
  copy(name: string): Promise<BenchDatabase>;
}

/** What a job writes. */
const TABLES = [
  "musehub_objects",
  "musehub_object_refs",
  "musehub_mpacks",
  "musehub_background_jobs",
  "musehub_commits",
  "musehub_commit_refs",
  "musehub_commit_graph",
  "musehub_snapshots",
  "musehub_snapshot_refs",
  "musehub_branches",
  "musehub_tags",
  "mpack_staged_objects",
  "mpack_staged_records",
];

/** Opens the resources in a folder that is deleted with them. */
export async function openBenchResources(): Promise<BenchResources> {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "mpackd-bench-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  // The server may have to run as another user than root.
  await Deno.chmod(folder, 0o755);
  // A server with room for its work; everything else, fsync included, as it comes.
  // 64 jobs at once, beside a server with its pools.
  const settings = {
    shared_buffers: "1GB",
    max_wal_size: "8GB",
    work_mem: "16MB",
    max_connections: "300",
  };
  const server = await openEmbedded({ dataDir: `${folder}/pg`, settings });
  stack.defer(() => server.close());
  const connect = (url: string) =>
    connectDatabase(url, {
      maxConnections: 8,
      statementTimeoutMs: 3_600_000,
      idleTimeoutMs: 1_000,
    });
  const admin = connect(server.url);
  stack.defer(() => admin.close());
  await admin.sql.unsafe("create database bench");
  const urlOf = (name: string) => Object.assign(new URL(server.url), { pathname: `/${name}` }).href;
  const url = urlOf("bench");
  let db = connect(url);
  stack.defer(() => db.close());
  await migrate(db);
  await createRepo(db, REPO);
  const { repoId } = (await findRepo(db, REPO))!;
  const blobs = `${folder}/blobs`, store = openStore(blobs);
  const made = new Map<string, Promise<Pack>>();
  const owned = stack.move();
  return {
    get db() {
      return db;
    },
    version: server.version,
    repoId,
    folder,
    env: { DATABASE_URL: url, MPACK_STORE: `file://${blobs}` },
    async make(shape) {
      const name = JSON.stringify(shape);
      const making = made.get(name) ?? makePack(shape, { folder, blobs, repoId });
      made.set(name, making);
      return await making;
    },
    async forget(pack) {
      for (const [name, making] of made) if ((await making) === pack) made.delete(name);
      await Deno.remove(pack.path);
    },
    index: ({ mpackKey }, { env = {}, ...parts } = {}) =>
      timed(() => indexMpack({ db, store, repoId, mpackKey, config: loadConfig(env), ...parts })),
    async empty() {
      await db.sql.unsafe(`truncate ${TABLES.join(", ")}`);
      await db.sql.unsafe("vacuum analyze");
      await db.sql.unsafe("checkpoint");
    },
    async copy(name) {
      // A template database must have no connection.
      await db.close();
      db = connect(url);
      await admin.sql.unsafe(`drop database if exists ${name} with (force)`);
      await admin.sql.unsafe(`create database ${name} template bench strategy file_copy`);
      await admin.sql.unsafe("checkpoint");
      const copy = connect(urlOf(name));
      const drop = async () => {
        await copy.close();
        await admin.sql.unsafe(`drop database if exists ${name} with (force)`);
      };
      return { db: copy, url: urlOf(name), drop };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function makePack(
  shape: Partial<MpackShape>,
  { folder, blobs, repoId }: { folder: string; blobs: string; repoId: string },
): Promise<Pack> {
  const making = await Deno.makeTempFile({ dir: folder });
  const hash = createHash("sha256");
  using file = await Deno.open(making, { write: true });
  let sizeBytes = 0;
  for await (const chunk of makeMpack(shape)) {
    hash.update(chunk);
    sizeBytes += chunk.length;
    for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
  }
  const mpackKey = `sha256:${hash.digest("hex")}`;
  await Deno.mkdir(`${blobs}/mpacks/${repoId}`, { recursive: true });
  const path = `${blobs}/mpacks/${repoId}/${mpackKey}`;
  await Deno.rename(making, path);
  return { mpackKey, sizeBytes, objects: shape.objects!, path };
}
