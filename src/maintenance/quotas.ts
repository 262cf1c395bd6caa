/**
 * Sets quotas, and names the tenants that have them.
 *
 * @module
 */

import type { Database } from "../db/client/database.ts";
import type { Limits } from "../db/quotas/quota.ts";
import { recountUsage, setQuota, type Tenant } from "../db/quotas/quotas.ts";
import { findRepo, isName, parseRepoName } from "../db/repos.ts";
import { isPublishRunning, serverTime } from "../db/tombstones.ts";
import { ConfigError } from "../errors.ts";
import { sleep } from "../lib/sleep.ts";

const POLL_MS = 50;

/** How to set a quota. */
export interface ChangeQuotaOptions {
  /** Longest wait for the publishes that run now, in milliseconds. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/**
 * Sets limits of a tenant and counts what it has.
 *
 * @returns Whether the count is exact. If not, a publish that began before has not ended: it may not
 * have been counted, and the next audit corrects that.
 */
export async function changeQuota(
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
 * @throws {ConfigError} If it is neither, or there is no such repo.
 */
export async function findTenant(db: Database, text: string): Promise<Tenant> {
  if (isName(text)) return { kind: "owner", name: text };
  const repo = await findRepo(db, parseRepoName(text));
  if (repo !== undefined) return { kind: "repo", name: repo.repoId };
  throw new ConfigError(`Cannot find repo ${text} on ${db.label}`, { code: "repo-not-found" });
}
