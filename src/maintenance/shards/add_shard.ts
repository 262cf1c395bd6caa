/**
 * Makes a schema a shard of a catalog.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { connectDatabase, type ConnectOptions } from "../../db/client/connect.ts";
import type { Database } from "../../db/client/database.ts";
import { type ParsedUrl, parseUrl } from "../../db/client/parse_url.ts";
import { migrate, pendingMigrations } from "../../db/schema/migrate.ts";
import { MIGRATION_NAMES } from "../../db/schema/migration_names.ts";
import {
  adoptRepos,
  findShard,
  insertShard,
  markShard,
  type NewShard,
  readShardMark,
  reposOutside,
} from "../../db/shards/catalog.ts";
import { requireShardName, shardUrl } from "../../db/shards/shard.ts";
import { readIdentity } from "../../db/store_owner.ts";
import { ConfigError } from "../../errors.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { adoptStore, compareOwner } from "../store_owner.ts";

/** How to add a shard. */
export interface AddShardOptions {
  readonly catalog: Database;
  readonly catalogUrl: string;
  readonly config: Pick<Config, "blobKey" | "objectKey" | "databaseTimeoutMs">;
  /** The shard's store: its own, or the catalog's. */
  readonly store: BlobStore;
  readonly shard: NewShard;
  /** Takes repos that are in the schema already into the catalog. */
  readonly isAdopting: boolean;
  /** Looks, and changes nothing. */
  readonly isDryRun: boolean;
  readonly connect?: (url: string, options: ConnectOptions) => Database;
  readonly signal: AbortSignal;
}

/** What was done, or would be. */
export interface AddedShard {
  readonly name: string;
  /** Where it is, without the password. */
  readonly database: string;
  readonly schema: string;
  /** Whether the schema had to be made. */
  readonly newSchema: boolean;
  readonly migrations: readonly string[];
  /** Repos of the schema that were taken into the catalog. */
  readonly adopted: readonly string[];
  /** False if the catalog had the shard already. */
  readonly added: boolean;
}

/**
 * Adds a shard: makes the schema and its tables, marks the store for it, and lets the catalog know.
 * Each step may be done already, so what was interrupted is done again.
 *
 * @throws {ConfigError} If the settings do not allow for shards, or the schema cannot be one.
 */
export async function addShard(options: AddShardOptions): Promise<AddedShard> {
  const { catalog, catalogUrl, shard, store, isDryRun, signal } = options;
  const { connect = connectDatabase } = options, { name } = shard;
  requireShardName(name);
  requireRepoKeys(options);
  const catalogId = await requireCatalog(catalog);
  const known = await findShard(catalog, name);
  if (known !== undefined && known.url !== shard.url) {
    throw new ConfigError(
      `Cannot add shard ${name}: it is there with another URL; "mpackd shard move ${name}" moves it`,
    );
  }
  const url = shardUrl(shard.url, catalogUrl), schema = schemaOf(url);
  await using stack = new AsyncDisposableStack();
  const db = connect(url, {
    maxConnections: 1,
    statementTimeoutMs: options.config.databaseTimeoutMs,
    shard: name,
  });
  stack.defer(() => db.close());
  const isNew = await isMissing(db, schema);
  const outside = isNew ? [] : await checkSchema(options, db, catalogId);
  const pending = await pendingIn(db, isNew);
  const result = {
    name,
    database: db.label,
    schema,
    newSchema: isNew,
    migrations: pending,
    adopted: outside.map((repo) => `${repo.owner}/${repo.slug}`),
    added: known === undefined,
  };
  if (isDryRun) return result;
  if (isNew) await db.query("create a schema")`create schema if not exists ${db.sql(schema)}`;
  const { applied } = await migrate(db);
  await markShard(db, name, catalogId);
  const parts = { db, store, signal };
  if ((await compareOwner(parts)).ownership !== "ours") await adoptStore(parts);
  await insertShard(catalog, shard);
  await adoptRepos(catalog, name, outside);
  return { ...result, migrations: applied };
}

/** Two shards that share a blob would each take it for garbage of their own. */
function requireRepoKeys({ config }: AddShardOptions): void {
  const wrong = [["MPACK_BLOB_KEY", config.blobKey], ["MPACK_OBJECT_KEY", config.objectKey]]
    .find(([, template]) => !template.includes("{repo_id}"));
  if (wrong === undefined) return;
  throw new ConfigError(
    `Cannot add a shard: ${wrong[0]} is ${
      wrong[1]
    }, so repos of several shards would share blobs; ` +
      "only stores with {repo_id} in their keys can have shards",
  );
}

/** @returns The catalog's id. */
async function requireCatalog(catalog: Database): Promise<string> {
  const mark = await readShardMark(catalog);
  if (mark?.shard == null) return (await readIdentity(catalog)).databaseId;
  throw new ConfigError(
    `Cannot add a shard to ${catalog.label}: it is shard ${mark.shard} itself; set DATABASE_URL to ` +
      "its catalog",
  );
}

/** The one schema that a URL names. */
function schemaOf(url: string): string {
  const path = parsed(url).parameters.search_path ?? "public";
  const [, quoted = path] = /^"([^"]*)"$/.exec(path.trim()) ?? [];
  if (/^[A-Za-z_][\w-]*$/.test(quoted)) return quoted;
  throw new ConfigError(
    `Cannot add a shard: search_path is ${JSON.stringify(path)}, and it has to name one schema`,
  );
}

/** Parses a shard's URL; what is wrong with it is not said of the catalog's. */
function parsed(url: string): ParsedUrl {
  try {
    return parseUrl(url);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const message = error.message.replaceAll("DATABASE_URL", "the shard's URL");
    throw new ConfigError(message, { cause: error });
  }
}

async function pendingIn(db: Database, isNew: boolean): Promise<readonly string[]> {
  return isNew ? MIGRATION_NAMES : await pendingMigrations(db);
}

async function isMissing(db: Database, schema: string): Promise<boolean> {
  const [{ found }] = await db.query<{ found: boolean }>("look for a schema")`
    select exists (select from pg_namespace where nspname = ${schema}) as found`;
  return !found;
}

/**
 * Makes sure that a schema can become this shard.
 *
 * @returns Its repos that the catalog does not know.
 */
async function checkSchema(
  { catalog, shard: { name }, isAdopting }: AddShardOptions,
  db: Database,
  catalogId: string,
) {
  const mark = await readShardMark(db),
    refuse = (why: string) => new ConfigError(`Cannot add shard ${name}: ${db.label} ${why}`);
  if (mark === undefined) return [];
  if (mark.databaseId === catalogId) {
    throw refuse("is the catalog itself, or a copy of it; name another schema in search_path");
  }
  if (mark.shard !== null && mark.catalogId !== catalogId) {
    throw refuse(`is shard ${mark.shard} of another catalog`);
  }
  if (mark.shard !== null && mark.shard !== name) throw refuse(`is shard ${mark.shard} already`);
  const { unknown, elsewhere } = await reposOutside(catalog, db, name);
  if (elsewhere.length > 0) {
    throw refuse(
      `has ${namesOf(elsewhere)}, and the catalog has repos of that name or id elsewhere`,
    );
  }
  if (unknown.length > 0 && !isAdopting) {
    throw refuse(
      `has repos that the catalog does not know (${
        namesOf(unknown)
      }); --adopt takes them into the ` +
        "catalog. Its identities, tokens and collaborators stay unused there",
    );
  }
  return unknown;
}

function namesOf(repos: readonly { readonly owner: string; readonly slug: string }[]): string {
  const names = repos.slice(0, 3).map(({ owner, slug }) => `${owner}/${slug}`).join(", ");
  return repos.length > 3 ? `${names} and ${repos.length - 3} more` : names;
}
