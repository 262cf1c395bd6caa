/**
 * The quotas that tenants have, and what is used of them.
 *
 * @module
 */

import { type Viewer, visibleRepoIds } from "../activity.ts";
import type { Database } from "../client/database.ts";
import {
  defaultsText,
  type Limits,
  type QuotaDefaults,
  type QuotaName,
  type TenantKind,
  WARN_PERCENT,
} from "./quota.ts";

/** Stored for a tenant that a default shall not limit. */
export const UNLIMITED = Number.MAX_SAFE_INTEGER;

const MOST_LISTED = 1_000;

/** Counting the packs of a large owner takes seconds. */
const COUNT_DEADLINE_MS = 10 * 60_000;

/** An owner by handle, or a repo by id. */
export interface Tenant {
  readonly kind: TenantKind;
  readonly name: string;
}

/** A tenant with limits, and what it has. */
export interface TenantUsage extends Tenant {
  /** The owner's handle, or OWNER/SLUG; the repo's id if it is gone. */
  readonly label: string;
  /** Its limits, those of the settings included; null: unlimited. */
  readonly limits: Readonly<Record<QuotaName, number | null>>;
  readonly used: Readonly<Record<QuotaName, number>>;
  /** The most used of its limits, in percent. */
  readonly percent: number;
}

/**
 * Sets limits of a tenant; those that are not named stay. What the tenant has is counted from now on:
 * call {@link recountUsage} when the publishes that run now have ended, for they do not count.
 *
 * @param options.isCounted False in a catalog whose shard counts the tenant. Default true.
 */
export async function setQuota(
  db: Database,
  { kind, name }: Tenant,
  limits: Limits,
  { isCounted = true }: { readonly isCounted?: boolean } = {},
): Promise<void> {
  const { bytes = null, objects = null, packs = null, pushes = null } = limits;
  await db.query("set a quota")`
    with used as (
      insert into mpackd_usage (kind, name)
      select ${kind}, ${name} where ${isCounted}::boolean on conflict do nothing
    )
    insert into mpackd_quotas as q (kind, name, bytes, objects, packs, pushes)
    values (${kind}, ${name}, ${bytes}::bigint, ${objects}::bigint, ${packs}::bigint,
      ${pushes}::bigint)
    on conflict (kind, name) do update set bytes = coalesce(excluded.bytes, q.bytes),
      objects = coalesce(excluded.objects, q.objects), packs = coalesce(excluded.packs, q.packs),
      pushes = coalesce(excluded.pushes, q.pushes), changed_at = now()`;
}

/** Removes the limits of a tenant; the defaults of the settings apply again. Whether there were any. */
export async function removeQuota(db: Database, { kind, name }: Tenant): Promise<boolean> {
  const rows = await db.query("remove a quota")`
    with used as (
      delete from mpackd_usage where kind = ${kind} and name = ${name}
    )
    delete from mpackd_quotas where kind = ${kind} and name = ${name} returning 1`;
  return rows.length > 0;
}

/** Whether a tenant has limits of its own. */
export async function hasQuota(db: Database, { kind, name }: Tenant): Promise<boolean> {
  const [{ found }] = await db.query<{ found: boolean }>("look for a quota")`
    select exists (select from mpackd_quotas where kind = ${kind} and name = ${name}) as found`;
  return found;
}

/** Counts what a tenant has from its packs. Whether the numbers that were there are wrong. */
export async function recountUsage(db: Database, { kind, name }: Tenant): Promise<boolean> {
  const query = db.query<{ is_wrong: boolean }>("count what a tenant has", {
    deadlineMs: COUNT_DEADLINE_MS,
  });
  const [{ is_wrong: isWrong }] =
    await query`select mpackd_recount_1(${kind}, ${name}) as is_wrong`;
  return isWrong;
}

/**
 * Counts again what each tenant with limits has.
 *
 * @returns Those whose numbers were wrong.
 */
export async function recountAll(db: Database): Promise<Tenant[]> {
  const tenants = await db.query<Tenant>("list the counted tenants")`
    select kind, name from mpackd_usage order by kind, name`;
  const wrong: Tenant[] = [];
  for (const tenant of tenants) {
    if (await recountUsage(db, tenant)) wrong.push(tenant);
  }
  return wrong;
}

/** Which tenants to list. */
export interface UsageFilter {
  readonly defaults: QuotaDefaults;
  /** Only those that use so much of a limit, in percent. Default 0: all. */
  readonly minPercent?: number;
  /** Only this one. */
  readonly tenant?: Tenant;
  /** Only this identity, and the repos that it may push to. */
  readonly viewer?: Viewer;
  /** Default 1,000. */
  readonly limit?: number;
}

type UsageRow =
  & Pick<TenantUsage, "kind" | "name" | "label" | "percent">
  & Record<QuotaName, number>
  & Record<`most_${QuotaName}`, number | null>;

/** Lists the tenants with limits that are counted, those that use the most of one first. */
export async function listUsage(
  db: Database,
  { defaults, minPercent = 0, tenant, viewer, limit = MOST_LISTED }: UsageFilter,
): Promise<TenantUsage[]> {
  const { sql } = db, given = sql`${defaultsText(defaults)}::text::jsonb`;
  const most = (what: QuotaName) =>
    sql`nullif(mpackd_limit_1(u.kind, q.${sql(what)}, ${given}, ${what}), ${UNLIMITED}::bigint)`;
  const percent = (what: QuotaName) =>
    sql`case when ${sql(`most_${what}`)} = 0 then 100
      else floor(100.0 * ${sql(what)} / ${sql(`most_${what}`)}) end`;
  const isAsked = tenant === undefined
    ? sql`true`
    : sql`u.kind = ${tenant.kind} and u.name = ${tenant.name}`;
  const isVisible = viewer === undefined
    ? sql`true`
    : sql`(u.kind = 'owner' and u.name = ${viewer.handle}
        or u.kind = 'repo' and u.name in (${visibleRepoIds(db, viewer)}))`;
  const rows = await db.query<UsageRow>("list what tenants use")`
    with limited as materialized (
      select u.kind, u.name,
        case u.kind when 'owner' then u.name else coalesce(r.owner || '/' || r.slug, u.name) end
          as label,
        u.bytes, u.objects, u.packs,
        case when u.hour_began_at > now() - interval '1 hour' then u.pushes else 0 end as pushes,
        ${most("bytes")} as most_bytes, ${most("objects")} as most_objects,
        ${most("packs")} as most_packs, ${most("pushes")} as most_pushes
      from mpackd_usage u
      left join mpackd_quotas q on q.kind = u.kind and q.name = u.name
      left join musehub_repos r on u.kind = 'repo' and r.repo_id = u.name
      where ${isAsked} and ${isVisible}
    ), rated as (
      select *, coalesce(greatest(${percent("bytes")}, ${percent("objects")}, ${percent("packs")},
        ${percent("pushes")}), 0)::float8 as percent
      from limited
    )
    select * from rated
    where percent >= ${minPercent}::float8
      and (${tenant !== undefined}::boolean
        or num_nonnulls(most_bytes, most_objects, most_packs, most_pushes) > 0)
    order by percent desc, kind, label limit ${limit}::bigint`;
  return rows.map((row) => {
    const { kind, name, label, percent, bytes, objects, packs, pushes } = row;
    return {
      kind,
      name,
      label,
      percent,
      used: { bytes, objects, packs, pushes },
      limits: {
        bytes: row.most_bytes,
        objects: row.most_objects,
        packs: row.most_packs,
        pushes: row.most_pushes,
      },
    };
  });
}

/** Merges lists of tenants of several shards, those that use the most first. */
export function mergeUsage(
  lists: readonly (readonly TenantUsage[])[],
  limit = MOST_LISTED,
): TenantUsage[] {
  if (lists.length === 1) return [...lists[0]];
  const rank = ({ kind, label }: TenantUsage) => `${kind} ${label}`;
  return lists.flat()
    .sort((a, b) => b.percent - a.percent || (rank(a) < rank(b) ? -1 : 1))
    .slice(0, limit);
}

/** How many tenants use 80 % of a limit or more, and how many all of it. */
export interface TenantsAtLimits {
  readonly near: number;
  readonly full: number;
}

/** Counts the tenants at their limits, up to 1,000. */
export async function countAtLimits(
  db: Database,
  defaults: QuotaDefaults,
): Promise<TenantsAtLimits> {
  const tenants = await listUsage(db, { defaults, minPercent: WARN_PERCENT });
  const full = tenants.filter(({ percent }) => percent >= 100).length;
  return { near: tenants.length - full, full };
}
