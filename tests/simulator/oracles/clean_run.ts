/**
 * The same packs, indexed one after the other without faults.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { addRepos } from "../../support/postgres/database.ts";
import { createTestDatabase } from "../../support/postgres/postgres.ts";
import type { TestServer } from "../../support/postgres/test_server.ts";
import { nameOf, type Pushed } from "./oracles.ts";

/** What is to be compared. */
export interface CleanRunOptions {
  /** Where the clean run's database is made. */
  readonly server: TestServer;
  /** The database that had the faults. */
  readonly admin: Database;
  /** What was pushed. */
  readonly pushed: Pushed;
  /** The store of the packs. */
  readonly store: BlobStore;
  /** The repos it was pushed to. */
  readonly repoIds: readonly string[];
}

/** Tables that differ from those of a clean run of what is published. */
export async function differencesToCleanRun(options: CleanRunOptions): Promise<string[]> {
  const { server, admin, pushed, store, repoIds } = options;
  await using database = await createTestDatabase("clean", server.url);
  const db = connectDatabase(database.url, { maxConnections: 2 });
  try {
    await migrate(db);
    await addRepos(db, ...repoIds);
    // In the order of the publishes, so that the first to bring an object is the same.
    const published = await admin.sql<{ repoId: string; mpackKey: string }[]>`
      select repo_id as "repoId", mpack_key as "mpackKey" from musehub_mpacks order by mpack_id`;
    for (const name of published) {
      const { mpack_key: _, ...payload } = pushed.packs.get(nameOf(name))!.payload;
      await indexMpack({ db, store, ...name, payload });
    }
    const [faulty, clean] = [await readersView(admin), await readersView(db)];
    return Object.keys(clean).filter((table) => clean[table] !== faulty[table])
      .map((table) => `${table} is not what a clean run makes of the same packs`);
  } finally {
    await db.close();
  }
}

/**
 * Digests of what readers see. Which of several packs an object is read from is left open, and so
 * are objects without a ref: a job that is cancelled after its proof may have written them.
 */
async function readersView({ sql }: Database): Promise<Record<string, string>> {
  const [row] = await sql<Record<string, string>[]>`
    select
      (select md5(string_agg(concat_ws(' ', object_id, size_bytes), ','
        order by object_id collate "C")) from musehub_objects o where exists (
          select from musehub_object_refs r where r.object_id = o.object_id)) as musehub_objects,
      (select md5(string_agg(concat_ws(' ', repo_id, object_id, size_bytes), ','
        order by repo_id collate "C", object_id collate "C"))
        from musehub_object_refs) as musehub_object_refs,
      (select md5(string_agg(concat_ws(' ', repo_id, commit_id, snapshot_id, message), ','
        order by repo_id collate "C", commit_id collate "C"))
        from musehub_commit_refs) as musehub_commit_refs,
      (select md5(string_agg(concat_ws(' ', repo_id, snapshot_id, entries), ','
        order by repo_id collate "C", snapshot_id collate "C"))
        from musehub_snapshot_refs) as musehub_snapshot_refs,
      (select md5(string_agg(concat_ws(' ', repo_id, mpack_key, blob_key, etag, size_bytes, objects,
        commits, snapshots, tags), ',' order by repo_id collate "C", mpack_key collate "C"))
        from musehub_mpacks) as musehub_mpacks`;
  return row;
}
