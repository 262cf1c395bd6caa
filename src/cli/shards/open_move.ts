import type { Config } from "../../config/config.ts";
import { connectDatabase } from "../../db/client/connect.ts";
import { shardUrl } from "../../db/shards/shard.ts";
import { ConfigError } from "../../errors.ts";
import { addSecrets, passwordsOf } from "../../lib/redact.ts";
import type { MoveOptions } from "../../maintenance/shards/move_options.ts";
import { databasePermissions, requirePermissions } from "../permissions.ts";
import { openDatabase } from "../resources.ts";

/** Two tables are compared at once, and a statement is cancelled through one of its own. */
const CONNECTIONS = 4;

/** The catalog, and what reaches its shards. */
export interface OpenedCatalog
  extends AsyncDisposable, Pick<MoveOptions, "catalog" | "connect" | "completeUrl"> {}

/**
 * Opens the catalog of the settings.
 *
 * @throws {ConfigError} If it is the embedded database, which cannot replicate.
 */
export async function openCatalog(config: Config): Promise<OpenedCatalog> {
  const { databaseUrl } = config;
  if (databaseUrl === undefined) {
    throw new ConfigError(
      "Cannot use shards with the embedded database: set DATABASE_URL to the catalog's",
    );
  }
  const opened = await openDatabase(config, { maxConnections: 2 });
  const statementTimeoutMs = config.databaseTimeoutMs;
  return {
    catalog: opened.db,
    completeUrl: (url) => {
      const complete = shardUrl(url, databaseUrl);
      addSecrets(passwordsOf(complete));
      return complete;
    },
    connect: (url) => {
      const db = connectDatabase(url, { maxConnections: CONNECTIONS, statementTimeoutMs });
      requirePermissions(databasePermissions(db));
      return db;
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}
