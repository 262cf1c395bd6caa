/**
 * The contexts of shards: each has the database and the store of some repos, and shares the rest.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { Replica } from "../../db/client/replica.ts";
import { ClientPublishers } from "../../db/publish/client_publishers.ts";
import type { RepoHome, Shard } from "../../db/shards/shard.ts";
import type { ShardPools } from "../../db/shards/shard_pools.ts";
import { ConfigError, DatabaseError } from "../../errors.ts";
import { PushStarter } from "../../jobs/index/begin_push.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { ApiContext } from "../context.ts";

/** How a server reaches the shards of its catalog. */
export interface HttpShards {
  /** For reads. */
  readonly pools: ShardPools;
  /** For pushes, which may wait for locks. */
  readonly pushPools: ShardPools;
  /** Opens the store as a shard's database may use it. */
  readonly storeOf: (shard: Shard, db: Database) => Promise<BlobStore>;
}

/** Makes `context.at()`: the context of a repo's home. */
export function placesOf(
  catalog: () => ApiContext,
  { pools, pushPools, storeOf }: HttpShards,
): ApiContext["at"] {
  // By its pool: a shard that has moved has another one.
  const places = new WeakMap<Database, Promise<ApiContext>>();
  const open = async (home: RepoHome, db: Database, shard: Shard): Promise<ApiContext> => {
    const context = catalog(), { db: pushDb } = await pushPools.at(home);
    return {
      ...context,
      db,
      pushDb,
      replica: shard.replicaUrl === null ? undefined : new Replica({
        primary: db,
        replica: pools.standby(shard.replicaUrl, shard),
      }),
      starter: new PushStarter(pushDb),
      publishers: new ClientPublishers(pushDb, context.pushLimit),
      store: await storeOf(shard, db),
    };
  };
  return async (home) => {
    if (home === undefined) return catalog();
    try {
      const { db, shard } = await pools.at(home);
      let place = places.get(db);
      if (place === undefined) {
        place = open(home, db, shard!);
        places.set(db, place);
        place.catch(() => places.delete(db));
      }
      return await place;
    } catch (error) {
      // To this server's clients it is away, whatever its operator has to correct.
      if (!(error instanceof ConfigError)) throw error;
      throw new DatabaseError(error.message, { cause: error, shard: home.shard });
    }
  };
}
