/**
 * The catalog's statements that take a shard out of use.
 *
 * @module
 */

import type { Database } from "../client/database.ts";

/** Sets whether a shard gets new repos; false if there is none, or it is moving. */
export async function drainShard(
  catalog: Database,
  name: string,
  state: "open" | "drained",
): Promise<boolean> {
  const rows = await catalog.query("set whether a shard gets new repos")`
    update mpackd_shards set state = ${state} where name = ${name} and state <> 'moving'
    returning name`;
  return rows.length > 0;
}

/** How many repos live in a shard, deleted ones included. */
export async function countReposIn(catalog: Database, name: string): Promise<number> {
  const [{ repos }] = await catalog.query<{ repos: number }>("count a shard's repos")`
    select count(*)::int as repos from musehub_repos where shard = ${name}`;
  return repos;
}

/** Deletes the row of a drained shard without repos; whether it did. */
export async function deleteShard(catalog: Database, name: string): Promise<boolean> {
  const rows = await catalog.query("remove a shard")`
    delete from mpackd_shards s where s.name = ${name} and s.state = 'drained'
      and not exists (select from musehub_repos r where r.shard = s.name)
      and not exists (select from mpackd_shard_moves m where m.shard = s.name and m.ended_at is null)
    returning s.name`;
  return rows.length > 0;
}
