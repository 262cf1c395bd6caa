/**
 * Creates, edits and deletes repos of a catalog with shards: the catalog's row, and the copy that the
 * tables of the repo's shard refer to.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import type { Database } from "../client/database.ts";
import type { QuotaDefaults } from "../quotas/quota.ts";
import { copyQuotas } from "../quotas/copy_quotas.ts";
import {
  deleteRepo,
  editRepo,
  insertRepo,
  NameTakenError,
  type NewRepo,
  type Repo,
  type RepoEdit,
} from "../repos.ts";
import { copyRepo } from "./catalog.ts";
import { roomiest } from "./room.ts";
import { CATALOG } from "./shard.ts";
import type { ShardPools } from "./shard_pools.ts";

/** Where a new repo may live. */
export interface PlaceOptions {
  /** A shard's name, or `catalog`. Default: where the owner's limit or the room says. */
  readonly shard?: string;
  /** The limits of owners that have none of their own. */
  readonly defaults: QuotaDefaults;
}

const MOST_TRIES = 20;

/**
 * Creates a repo in a shard, or finds the one that has the name.
 *
 * An owner's limit is checked where packs are published, so all repos of such an owner live in one
 * shard: where the others are. Other new repos go where the tables are smallest.
 *
 * @throws {NameTakenError} If a deleted repo has the name.
 * @throws {ConfigError} If there is no such shard, it takes no new repos, or the owner's are elsewhere.
 * @throws {DatabaseError} If the shard cannot be reached. Its copy is then made at the first push.
 */
export async function createPlacedRepo(
  pools: ShardPools,
  wanted: NewRepo,
  { shard, defaults }: PlaceOptions,
): Promise<{ readonly repo: Repo; readonly created: boolean }> {
  const { catalog } = pools, { owner, slug } = wanted, name = `${owner}/${slug}`;
  const made = shard === undefined ? await insertRepo(catalog, wanted, undefined) : undefined;
  if (made !== undefined) return made;
  for (let tries = 1;; tries++) {
    const place = await choosePlace(pools, owner, { shard, defaults });
    const placed = await insertRepo(catalog, wanted, place);
    if (placed === undefined) {
      throw nameTaken(name);
    }
    const { repo, created } = placed;
    if (!created) return placed;
    // Another one was placed, or the limit was set, since this one's place was chosen. Whoever writes
    // first and looks then sees the other.
    const { isLimited, places } = await ownerPlaces(catalog, owner, defaults);
    if (!isLimited || places.length === 1) {
      await ensureCopy(pools, repo);
      return placed;
    }
    await catalog.query("take back a repo")`
      delete from musehub_repos where repo_id = ${repo.repoId}`;
    if (tries === MOST_TRIES) {
      throw new ConfigError(
        `Cannot create repo ${name}: its owner has a limit, and repos in ${
          places.map(nameOf).join(" and ")
        }; move them together with "mpackd shard move --repo"`,
      );
    }
    await sleep(Math.random() * 50);
  }
}

/**
 * Where {@link createPlacedRepo} would make a repo: a shard's name; null: the catalog.
 *
 * @throws As that does.
 */
export async function placeOf(
  pools: ShardPools,
  { owner, slug }: NewRepo,
  options: PlaceOptions,
): Promise<string | null> {
  const rows = await pools.catalog.query("look for a deleted repo of a name")`
    select 1 from musehub_repos where owner = ${owner} and slug = ${slug}`;
  if (rows.length > 0) throw nameTaken(`${owner}/${slug}`);
  return await choosePlace(pools, owner, options);
}

function nameTaken(name: string): NameTakenError {
  return new NameTakenError(`Cannot create repo ${name}: a deleted repo has that name`);
}

/** The place of a new repo: a shard's name; null: the catalog. */
async function choosePlace(
  pools: ShardPools,
  owner: string,
  { shard, defaults }: PlaceOptions,
): Promise<string | null> {
  const { isLimited, places } = await ownerPlaces(pools.catalog, owner, defaults);
  const isBound = isLimited && places.length > 0;
  if (shard === undefined) return isBound ? places[0] : await roomiest(pools);
  const wanted = shard === CATALOG ? null : shard;
  if (isBound && !places.includes(wanted)) {
    throw new ConfigError(
      `Cannot create a repo of ${owner} in ${shard}: ${owner} has a limit for all repos together, ` +
        `and they are in ${places.map(nameOf).join(" and ")}; leave --shard out`,
    );
  }
  if (wanted !== null) await requireOpen(pools, wanted);
  return wanted;
}

async function requireOpen(pools: ShardPools, name: string): Promise<void> {
  const shards = await pools.all(), shard = shards.find((one) => one.name === name)?.shard;
  if (shard?.state === "open") return;
  const names = shards.filter((one) => one.shard?.state !== "drained").map((one) => one.name);
  throw new ConfigError(
    shard === undefined
      ? `Cannot find shard ${name}: there are ${names.join(", ")}`
      : `Cannot create a repo in shard ${name}: it is ${shard.state}; there are ${
        names.join(", ")
      }`,
  );
}

const nameOf = (place: string | null) => place ?? CATALOG;

/** Whether an owner has a limit for all repos together, and in which places they are. */
async function ownerPlaces(
  catalog: Database,
  owner: string,
  defaults: QuotaDefaults,
): Promise<{ readonly isLimited: boolean; readonly places: readonly (string | null)[] }> {
  const rows = await catalog.query<
    { is_limited: boolean; has_repo: boolean; shard: string | null }
  >(
    "look where an owner's repos are",
  )`
    select q.is_limited, r.has_repo is not null as has_repo, r.shard
    from (select exists (
      select from mpackd_quotas where kind = 'owner' and name = ${owner}) as is_limited) as q
    left join (
      select distinct shard, true as has_repo from musehub_repos where owner = ${owner}
    ) as r on true
    order by r.shard nulls first`;
  return {
    isLimited: rows[0].is_limited || Object.keys(defaults.owner).length > 0,
    places: rows.filter((row) => row.has_repo).map((row) => row.shard),
  };
}

/**
 * Makes sure that a repo's shard has its copy of the row, and the limits of it and its owner: a crash
 * may have come between the catalog's row and the copy.
 */
export async function ensureCopy(
  pools: ShardPools,
  { home, repoId, owner }: Pick<Repo, "home" | "repoId" | "owner">,
): Promise<void> {
  if (home === undefined) return;
  const opened = await pools.at(home);
  if (opened.copied.has(repoId)) return;
  const { db } = opened;
  const rows = await db.query("look for a repo's copy")`
    select 1 from musehub_repos where repo_id = ${repoId}`;
  if (rows.length === 0) {
    await copyQuotas(pools.catalog, db, { owner, repoId });
    await copyRepo(pools.catalog, db, repoId);
  }
  opened.copied.add(repoId);
}

/** Changes a repo and its copy. As `editRepo()`. */
export async function editPlacedRepo(
  pools: ShardPools,
  repo: Repo,
  edit: RepoEdit,
): Promise<Repo | undefined> {
  const edited = await editRepo(pools.catalog, repo, edit);
  if (edited?.home !== undefined) {
    await copyRepo(pools.catalog, (await pools.at(edited.home)).db, repo.repoId);
  }
  return edited;
}

/** Marks a repo as deleted: the copy first, so that a deleted repo takes no pushes. As `deleteRepo()`. */
export async function deletePlacedRepo(pools: ShardPools, repo: Repo): Promise<boolean> {
  if (repo.home !== undefined) {
    await ensureCopy(pools, repo);
    await deleteRepo((await pools.at(repo.home)).db, repo);
  }
  return await deleteRepo(pools.catalog, repo);
}
