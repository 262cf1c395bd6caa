/**
 * What the bench works on: a PostgreSQL of its own with its defaults, a folder, and packs.
 *
 * @module
 */

import { createHash } from "node:crypto";
import {
  connectDatabase,
  createRepo,
  type Database,
  type indexMpack,
  loadConfig,
  migrate,
  openEmbedded,
  openStore,
} from "../../mod.ts";
import { makeMpack } from "../make_mpack.ts";
import { parseSize } from "../mpack/shape.ts";

/** A pack in the store. */
export interface Pack {
  /** Its key. */
  readonly mpackKey: string;
  /** Its length in bytes. */
  readonly sizeBytes: number;
}

/** The bench's database, store and repo. */
export interface BenchWorld extends AsyncDisposable {
  /** Connected, migrated. */
  readonly db: Database;
  /** The server's version. */
  readonly version: string;
  /** The one repo. */
  readonly repoId: string;
  /** Makes a pack and puts it into the store. */
  make(shape: { objects: number; size: string; seed?: number }): Promise<Pack>;
  /** What `indexMpack()` takes. */
  options(pack: Pack, env?: Record<string, string>): Parameters<typeof indexMpack>[0];
  /** Empties every table but the repo's, and settles the disk. */
  empty(): Promise<void>;
}

/** Opens a world in a folder that goes with it. */
export async function openBenchWorld(): Promise<BenchWorld> {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-bench-" });
  // A server with room for its work; everything else, fsync included, as it comes.
  const settings = { shared_buffers: "1GB", max_wal_size: "8GB", work_mem: "16MB" };
  const server = await openEmbedded({ dataDir: `${folder}/pg`, settings });
  const db = connectDatabase(server.url, { maxConnections: 8, statementTimeoutMs: 3_600_000 });
  await migrate(db);
  const { repo } = await createRepo(db, { owner: "bench", slug: "bench" });
  const store = openStore(`${folder}/blobs`);
  return {
    db,
    version: server.version,
    repoId: repo.repoId,
    async make({ objects, size, seed = 1 }) {
      const path = `${folder}/new.mpack`;
      const shape = { objects: Math.round(objects), size: parseSize(size), seed };
      const hash = createHash("sha256");
      using file = await Deno.open(path, { create: true, write: true, truncate: true });
      let sizeBytes = 0;
      for await (const chunk of makeMpack(shape)) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      }
      const mpackKey = `sha256:${hash.digest("hex")}`;
      const blob = `${folder}/blobs/mpacks/${repo.repoId}`;
      await Deno.mkdir(blob, { recursive: true });
      await Deno.rename(path, `${blob}/${mpackKey}`);
      return { mpackKey, sizeBytes };
    },
    options: ({ mpackKey }, env = {}) => ({
      db,
      store,
      repoId: repo.repoId,
      mpackKey,
      config: loadConfig(env),
    }),
    async empty() {
      await db.sql.unsafe(
        "truncate musehub_objects, musehub_object_refs, musehub_mpacks, mpack_staged_objects",
      );
      await db.sql.unsafe("vacuum analyze");
      await db.sql.unsafe("checkpoint");
    },
    async [Symbol.asyncDispose]() {
      await db.close();
      await server.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
