/**
 * Drains and removes shards, and the schemas that moves have left behind.
 *
 * @module
 */

import { counted } from "../../lib/numbers.ts";
import type { Database } from "../../db/client/database.ts";
import { findShard } from "../../db/shards/catalog.ts";
import { unfencedTables } from "../../db/shards/fence.ts";
import { findLastMove, findOpenMove, noteOldRemoved } from "../../db/shards/move_rows.ts";
import { isOurs, tablesThere } from "../../db/shards/move_sql.ts";
import { dropSchema } from "../../db/shards/move_target.ts";
import { countReposIn, deleteShard, drainShard } from "../../db/shards/remove.ts";
import { ConfigError } from "../../errors.ts";
import { schemaOf } from "./conninfo.ts";
import type { MoveOptions } from "./move_options.ts";

/**
 * Lets a shard get no new repos, or get them again.
 *
 * @throws {ConfigError} If there is no such shard, or it is moving.
 */
export async function drain(
  catalog: Database,
  name: string,
  { isUndone, isDryRun = false }: { readonly isUndone: boolean; readonly isDryRun?: boolean },
): Promise<void> {
  if (!isDryRun && await drainShard(catalog, name, isUndone ? "open" : "drained")) return;
  const shard = await findShard(catalog, name);
  if (isDryRun && shard !== undefined && shard.state !== "moving") return;
  throw new ConfigError(
    shard === undefined
      ? `Cannot drain shard ${name}: "mpackd shard list" shows all`
      : `Cannot drain shard ${name}: it is moving; wait until it has moved, or abort the move`,
  );
}

/**
 * Takes a drained shard without repos out of the catalog. Its schema stays: nothing is deleted.
 *
 * @throws {ConfigError} If it has repos, gets new ones, or moves.
 */
export async function remove(
  catalog: Database,
  name: string,
  { isDryRun = false }: { readonly isDryRun?: boolean } = {},
): Promise<void> {
  const shard = await findShard(catalog, name);
  if (shard === undefined) {
    throw new ConfigError(`Cannot remove shard ${name}: "mpackd shard list" shows all`);
  }
  const repos = await countReposIn(catalog, name), cannot = `Cannot remove shard ${name}: `;
  if (shard.state !== "drained") {
    throw new ConfigError(`${cannot}it is ${shard.state}; run "mpackd shard drain ${name}" first`);
  }
  if (repos > 0) {
    throw new ConfigError(
      `${cannot}it has ${
        counted(repos, "repo")
      }, deleted ones included; move them with "mpackd shard move ` +
        '--repo", or wait until gc has collected them',
    );
  }
  if (await findOpenMove(catalog, name) !== undefined) {
    throw new ConfigError(`${cannot}a move of it is open; abort it first`);
  }
  const last = await findLastMove(catalog, name);
  if (last !== undefined && last.oldRemovedAt === null) {
    throw new ConfigError(
      `${cannot}its old schema is still there; run "mpackd shard remove ${name} --old" first`,
    );
  }
  if (isDryRun || await deleteShard(catalog, name)) return;
  throw new ConfigError(`${cannot}another command has changed it meanwhile; run it again`);
}

/**
 * Removes the schema that a shard's last move has left behind, with all rows in it.
 *
 * @returns Where it was, without a password.
 * @throws {ConfigError} If there is none, or it has tables that are not mpackd's, or no fence.
 */
export async function removeOld(
  { catalog, shard: name, connect, completeUrl, isDryRun = false }:
    & Pick<MoveOptions, "catalog" | "shard" | "connect" | "completeUrl">
    & { readonly isDryRun?: boolean },
): Promise<string> {
  const move = await findLastMove(catalog, name);
  if (move === undefined || move.oldRemovedAt !== null) {
    throw new ConfigError(`Cannot remove an old schema of shard ${name}: no move has left one`);
  }
  const url = completeUrl(move.oldUrl), schema = schemaOf(url) ?? "public";
  const cannot = `Cannot remove the old schema ${schema} of shard ${name}: `;
  const shard = await findShard(catalog, name);
  if (shard !== undefined && completeUrl(shard.url) === url) {
    throw new ConfigError(`${cannot}the shard is there`);
  }
  const old = connect(url);
  try {
    const tables = await tablesThere(old);
    const others = tables.filter((table) => !isOurs(table)).map(({ name }) => name);
    if (others.length > 0) {
      throw new ConfigError(
        `${cannot}it has tables that are not mpackd's: ${others.join(", ")}; move them first`,
      );
    }
    const open = await unfencedTables(old);
    if (open.length > 0) {
      throw new ConfigError(
        `${cannot}${open.join(", ")} there can be written, so it is not what the move has left; ` +
          "look at it, and drop it by hand",
      );
    }
    if (!isDryRun) {
      await dropSchema(old, schema, { isWhole: schema !== "public" });
      await noteOldRemoved(catalog, move);
    }
    return `${schema} in ${old.label}`;
  } finally {
    await old.close();
  }
}
