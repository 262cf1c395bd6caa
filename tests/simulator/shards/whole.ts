/**
 * Whether all that was acknowledged is there once, and in one place.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { listShards } from "../../../src/db/shards/catalog.ts";
import { leftOf } from "../../support/shards/left.ts";
import type { World } from "../../support/shards/world.ts";
import { hurry, openJobs } from "../oracles/endings.ts";
import { pause } from "../waits.ts";
import type { Pushed } from "./tenant.ts";

const SETTLE_MS = 2 * 60_000;

/** Looks at the catalog and all its shards, when the queues are empty. */
export async function findProblems(world: World, pushed: readonly Pushed[]): Promise<string[]> {
  const problems: string[] = [];
  await using stack = new AsyncDisposableStack();
  const places = new Map<string | null, Database>([[null, world.catalog]]);
  for (const { name, url, state } of await listShards(world.catalog)) {
    if (state !== "open") problems.push(`shard ${name} is ${state}`);
    const db = connectDatabase(world.completeUrl(url), { maxConnections: 1 });
    stack.defer(() => db.close());
    // Of a pair; the statements below are not tried at another host.
    await db.query("find the primary")`select`;
    places.set(name, db);
  }
  for (const [name, db] of places) {
    const until = performance.now() + SETTLE_MS;
    while (await openJobs(db) > 0) {
      await hurry(db);
      await pause(100);
      if (performance.now() > until) {
        problems.push(`jobs of ${name ?? "the catalog"} do not end`);
        break;
      }
    }
    for (const left of await leftOf(db)) problems.push(`${name ?? "the catalog"} has ${left}`);
  }
  const repos = await world.catalog.query<
    { repoId: string; slug: string; shard: string | null }
  >("list the repos")`
    select repo_id as "repoId", slug, shard from musehub_repos`;
  for (const { repoId, slug, shard } of repos) {
    for (const [name, db] of places) {
      if (name !== shard) problems.push(...await strays(db, repoId, `${slug} in ${name}`));
    }
    const of = pushed.filter(({ repo }) => repo.repoId === repoId);
    problems.push(...await wrongIn(places.get(shard)!, repoId, of, `${slug} in ${shard}`));
  }
  return problems;
}

/** Rows of a repo in a place where it does not live. */
async function strays({ sql }: Database, repoId: string, where: string): Promise<string[]> {
  const [counts] = await sql`select
    (select count(*) from musehub_object_refs where repo_id = ${repoId}) as refs,
    (select count(*) from musehub_commit_refs where repo_id = ${repoId}) as commits,
    (select count(*) from musehub_mpacks where repo_id = ${repoId}) as mpacks,
    (select count(*) from musehub_branches where repo_id = ${repoId}) as branches`;
  return Object.entries(counts).filter(([, count]) => Number(count) > 0)
    .map(([what, count]) => `${count} stray ${what} of ${where}`);
}

async function wrongIn(
  { sql }: Database,
  repoId: string,
  pushed: readonly Pushed[],
  where: string,
): Promise<string[]> {
  const ids = async (rows: PromiseLike<readonly { id: string }[]>) =>
    (await rows).map(({ id }) => id);
  const problems: string[] = [];
  const compare = (what: string, found: readonly string[], wanted: readonly string[]) => {
    const there = new Set(found);
    if (there.size < found.length) problems.push(`${where}: ${what} are doubled`);
    const missing = wanted.filter((id) => !there.has(id)).length;
    if (missing > 0) problems.push(`${where}: ${missing} ${what} are lost`);
    const asked = new Set(wanted), more = found.filter((id) => !asked.has(id)).length;
    if (more > 0) problems.push(`${where}: ${more} ${what} were never acknowledged`);
  };
  compare(
    "objects",
    await ids(sql`select object_id as id from musehub_object_refs where repo_id = ${repoId}`),
    [...new Set(pushed.map(({ objectId }) => objectId))],
  );
  compare(
    "commits",
    await ids(sql`select commit_id as id from musehub_commit_refs where repo_id = ${repoId}`),
    pushed.map(({ commitId }) => commitId),
  );
  compare(
    "mpacks",
    await ids(sql`select mpack_key as id from musehub_mpacks where repo_id = ${repoId}`),
    pushed.map(({ mpackKey }) => mpackKey),
  );
  const [branch] = await sql`select head_commit_id as head from musehub_branches
    where repo_id = ${repoId}`;
  const head = pushed.at(-1)?.commitId;
  if (branch?.head !== head) problems.push(`${where}: main is ${branch?.head}, not ${head}`);
  return problems;
}
