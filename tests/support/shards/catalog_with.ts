/**
 * A catalog with shards: schemas of the same database, or of other servers.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { copyRepo, insertShard } from "../../../src/db/shards/catalog.ts";
import { readIdentity } from "../../../src/db/store_owner.ts";

/** Makes a schema a shard of the catalog, and returns a pool on it. */
export async function addShard(
  catalog: { readonly db: Database; readonly url: string },
  name: string,
  serverUrl = catalog.url,
): Promise<Database> {
  // As text: it may name several hosts.
  const url = `${serverUrl}${serverUrl.includes("?") ? "&" : "?"}search_path=${name}`;
  const db = connectDatabase(url, { maxConnections: 4, shard: name });
  await db.query("create a schema")`create schema if not exists ${db.sql(name)}`;
  await migrate(db);
  const { databaseId } = await readIdentity(catalog.db);
  await db.query(
    "mark a shard",
  )`update mpackd_database set shard = ${name}, catalog_id = ${databaseId}`;
  const own = serverUrl === catalog.url ? `?search_path=${name}` : url;
  await insertShard(catalog.db, { name, url: own, replicaUrl: null, storeUrl: null });
  return db;
}

/** Makes a repo that lives in a shard. */
export async function addRepoIn(
  catalog: Database,
  shard: Database,
  repoId: string,
  { isCopied = true }: { readonly isCopied?: boolean } = {},
): Promise<void> {
  await catalog.sql`insert into musehub_repos (repo_id, owner, slug, shard)
    values (${repoId}, 'owner', ${repoId}, ${shard.shard!})`;
  if (isCopied) await copyRepo(catalog, shard, repoId);
}

/** Puts a job into a queue as another program does: with the base columns only. */
export async function insertForeign(
  db: Database,
  job: { readonly jobId: string; readonly repoId: string; readonly payload?: string },
): Promise<void> {
  const { jobId, repoId, payload = "{}" } = job;
  await db.query("insert a job")`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at, attempt)
    values (${jobId}, ${repoId}, 'mpack.index', ${payload}::text::json, 'pending', now(), 0)`;
}
