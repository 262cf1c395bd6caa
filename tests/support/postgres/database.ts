import { connectDatabase, type ConnectOptions } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { arrayLiteral } from "../../../src/db/client/array_literal.ts";
import { createMigratedDatabase } from "./postgres.ts";

/** A migrated database of its own, and a pool on it. */
export interface TestDatabase extends AsyncDisposable {
  /** The pool. */
  readonly db: Database;
  /** Where it is. */
  readonly url: string;
}

/** Lends an empty migrated database until disposed. */
export async function openTestDatabase(
  options: Partial<ConnectOptions> = {},
): Promise<TestDatabase> {
  const created = await createMigratedDatabase();
  const db = connectDatabase(created.url, { maxConnections: 4, ...options });
  await nameAnew(db);
  return {
    db,
    url: created.url,
    async [Symbol.asyncDispose]() {
      await db.close();
      await created.drop();
    },
  };
}

/** Gives a copy an identity of its own: a store's marker names one database. */
export async function nameAnew(db: Database): Promise<void> {
  await db.sql`update mpackd_database set database_id = default`;
}

const REPO_ID = "repo-1";

/** Makes repos by id, so that jobs can name them. */
export async function addRepos(db: Database, ...repoIds: string[]): Promise<void> {
  await db.sql`insert into musehub_repos (repo_id, owner, slug)
    select id, 'owner', id from unnest(
      ${arrayLiteral(repoIds.length > 0 ? repoIds : [REPO_ID])}::text[]) id`;
}

/** Every row of every table that a pack's rows go to, without times, in one order. */
export async function dumpTables(db: Database): Promise<Record<string, unknown[]>> {
  const { sql } = db;
  return {
    mpacks: [...await sql`select * from musehub_mpacks order by mpack_id`],
    objects: [...await sql`select *, xmin::text from musehub_objects order by object_id`],
    refs: [
      ...await sql`select *, xmin::text from musehub_object_refs order by repo_id, object_id`,
    ],
    staged: [...await sql`select job_id, batch, rows from mpack_staged_objects order by 1, 2`],
    history: [
      ...await sql`select *, xmin::text from musehub_commits order by commit_id`,
      ...await sql`select *, xmin::text from musehub_snapshots order by snapshot_id`,
      ...await sql`select *, xmin::text from musehub_commit_refs order by repo_id, commit_id`,
      ...await sql`select *, xmin::text from musehub_snapshot_refs order by repo_id, snapshot_id`,
      ...await sql`select *, xmin::text from musehub_commit_graph order by repo_id, commit_id`,
      ...await sql`select *, xmin::text from musehub_branches order by repo_id, name`,
      ...await sql`select *, xmin::text from musehub_tags order by repo_id, tag`,
      ...await sql`select job_id, batch from mpack_staged_records order by 1, 2`,
    ],
    sequence: [
      ...await sql`select last_value, is_called from musehub_mpacks_mpack_id_seq`,
    ],
  };
}
