/**
 * Which shard has the most room.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { askShards } from "./ask_shards.ts";
import type { ShardPools } from "./shard_pools.ts";

/** What a schema's tables take, indexes included, in bytes. */
export async function tableBytes(db: Database): Promise<number> {
  const [{ bytes }] = await db.query<{ bytes: number }>("measure a shard")`
    select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint as bytes
    from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'r'`;
  return bytes;
}

/** The open shard whose tables are smallest; null: the catalog. One that does not answer is none. */
export async function roomiest(pools: ShardPools): Promise<string | null> {
  const all = await pools.all();
  const { answers } = await askShards(
    all.filter(({ shard }) => shard === undefined || shard.state === "open"),
    tableBytes,
  );
  const [first] = answers.toSorted((a, b) => a.answer - b.answer);
  return first?.shard?.name ?? null;
}
