/**
 * Sets quotas, and names the tenants that have them.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import { askShards } from "../db/shards/ask_shards.ts";
import { ownerHomes } from "../db/shards/catalog.ts";
import { CATALOG, type RepoHome } from "../db/shards/shard.ts";
import type { ShardPools } from "../db/shards/shard_pools.ts";
import type { Limits } from "../db/quotas/quota.ts";
import {
  listUsage,
  mergeUsage,
  recountUsage,
  removeQuota,
  setQuota,
  type Tenant,
  type TenantUsage,
  type UsageFilter,
} from "../db/quotas/quotas.ts";
import { findRepo, isName, parseRepoName } from "../db/repos.ts";
import { isPublishRunning, serverTime } from "../db/tombstones.ts";
import { ConfigError } from "../errors.ts";
import { sleep } from "../lib/sleep.ts";

const POLL_MS = 50;

/** A tenant, and the database that counts what it has. */
export interface PlacedTenant {
  readonly tenant: Tenant;
  readonly db: Database;
}

/** An owner's repos are in several shards, so no statement can count them together. */
export class SpreadOwnerError extends ConfigError {}

/** How to set a quota. */
export interface ChangeQuotaOptions {
  /** Longest wait for the publishes that run now, in milliseconds. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/**
 * Sets limits of a tenant, in the catalog and where its packs are counted.
 *
 * @returns As {@link changeQuota}, and the database that counts.
 * @throws {ConfigError} If an owner's repos are in several shards: no statement sees all of them.
 */
export async function changePlacedQuota(
  shards: ShardPools,
  text: string,
  limits: Limits,
  options: ChangeQuotaOptions,
): Promise<{ readonly db: Database; readonly tenant: Tenant; readonly isExact: boolean }> {
  const { catalog } = shards, { tenant, db } = await openTenant(shards, text);
  if (db !== catalog) {
    await setQuota(catalog, tenant, limits, { isCounted: false });
    // A repo may have been placed elsewhere before its limit was seen.
    await openTenant(shards, text);
  }
  return { db, tenant, isExact: await changeQuota(db, tenant, limits, options) };
}

/** Removes the limits of a tenant everywhere. Whether there were any. */
export async function removePlacedQuota(shards: ShardPools, text: string): Promise<boolean> {
  const { tenant, db } = await openTenant(shards, text);
  const wasThere = await removeQuota(shards.catalog, tenant);
  return db === shards.catalog ? wasThere : await removeQuota(db, tenant) || wasThere;
}

/** Lists the tenants with limits in all shards, as `listUsage()` does in one. */
export async function listPlacedUsage(
  shards: ShardPools,
  filter: Omit<UsageFilter, "tenant">,
): Promise<{ readonly tenants: TenantUsage[]; readonly unreachable: readonly string[] }> {
  const { answers, unreachable } = await askShards(
    await shards.all(),
    (db) => listUsage(db, filter),
  );
  const tenants = mergeUsage(answers.map(({ answer }) => answer), filter.limit);
  return { tenants, unreachable };
}

/**
 * Sets limits of a tenant and counts what it has.
 *
 * @returns Whether the count is exact. If not, a publish that began before has not ended: it may not
 * have been counted, and the next audit corrects that.
 */
async function changeQuota(
  db: Database,
  tenant: Tenant,
  limits: Limits,
  { waitMs, signal }: ChangeQuotaOptions,
): Promise<boolean> {
  await setQuota(db, tenant, limits);
  // From here on every publish counts what it brings; one that began before may not know that.
  const time = await serverTime(db), deadline = performance.now() + waitMs;
  let isRunning: boolean;
  while ((isRunning = await isPublishRunning(db, time)) && performance.now() < deadline) {
    await sleep(POLL_MS, signal);
  }
  await recountUsage(db, tenant);
  return !isRunning;
}

/**
 * The tenant of a name: an owner, or OWNER/SLUG.
 *
 * @throws {ConfigError} If it is neither, there is no such repo, or the owner's are in several shards.
 */
export async function openTenant(shards: ShardPools, text: string): Promise<PlacedTenant> {
  const { catalog } = shards;
  if (isName(text)) {
    const { db } = await shards.at(await ownerHome(catalog, text));
    return { tenant: { kind: "owner", name: text }, db };
  }
  const repo = await findRepo(catalog, parseRepoName(text));
  if (repo === undefined) {
    throw new ConfigError(`Cannot find repo ${text} on ${catalog.label}`, {
      code: "repo-not-found",
    });
  }
  return { tenant: { kind: "repo", name: repo.repoId }, db: (await shards.at(repo.home)).db };
}

async function ownerHome(catalog: Database, owner: string): Promise<RepoHome | undefined> {
  const homes = await ownerHomes(catalog, owner);
  if (homes.length <= 1) return homes[0];
  const names = homes.map((home) => home?.shard ?? CATALOG).join(", ");
  throw new SpreadOwnerError(
    `Cannot limit all repos of ${owner} together: they are in ${names}; move them together first: ` +
      `"mpackd shard move --repo ${owner}/… --to ${homes[1]!.shard}"`,
  );
}
