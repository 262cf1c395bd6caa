/** @jsxImportSource hono/jsx */
/**
 * Tenants with limits, and how much of them they use.
 *
 * @module
 */

import { quotaDefaultsOf } from "../../config/quotas.ts";
import { type QuotaName, WARN_PERCENT } from "../../db/quotas/quota.ts";
import { listUsage, type TenantUsage } from "../../db/quotas/quotas.ts";
import type { Repo } from "../../db/repos.ts";
import type { PageCall } from "./page.ts";
import { bytesText, count, Table } from "./parts.tsx";

const NAMES = {
  bytes: "Bytes",
  objects: "Objects",
  packs: "Packs",
  pushes: "Pushes an hour",
} as const satisfies Record<QuotaName, string>;

/** How many are listed; `mpackd quota list` has all. */
export const MOST_AT_LIMITS = 20;

/** The tenants who use 80 % of a limit or more, the fullest first. */
export function readAtLimits(
  { viewer, context: { db, config } }: Pick<PageCall, "viewer" | "context">,
): Promise<TenantUsage[]> {
  const defaults = quotaDefaultsOf(config);
  return listUsage(db, { defaults, minPercent: WARN_PERCENT, viewer, limit: MOST_AT_LIMITS });
}

/** The limits of a repo and of its owner, as far as there are any. */
export async function readQuotasOf(
  { repoId, owner, home }: Pick<Repo, "repoId" | "owner" | "home">,
  { context }: Pick<PageCall, "context">,
): Promise<TenantUsage[]> {
  const { db, config } = await context.at(home), defaults = quotaDefaultsOf(config);
  const tenants = await Promise.all([
    listUsage(db, { defaults, tenant: { kind: "repo", name: repoId } }),
    listUsage(db, { defaults, tenant: { kind: "owner", name: owner } }),
  ]);
  return tenants.flat().filter(({ limits }) =>
    Object.values(limits).some((limit) => limit !== null)
  );
}

/** A row for each tenant; nothing if there is none. */
export function Quotas(
  { title, tenants }: { readonly title: string; readonly tenants: readonly TenantUsage[] },
) {
  if (tenants.length === 0) return null;
  return (
    <>
      <h2>{title}</h2>
      <Table label={title} heads={["Tenant", "Used", ...Object.values(NAMES)]}>
        {tenants.map(({ kind, label, percent, limits, used }) => (
          <tr>
            <td>
              {kind === "repo" ? <a href={`/ui/repos/${label}`}>{label}</a> : label}
            </td>
            <td class="number">
              {percent >= WARN_PERCENT
                ? <span class={`status ${percent >= 100 ? "failed" : "warning"}`}>{percent}%</span>
                : `${percent}%`}
            </td>
            {(Object.keys(NAMES) as QuotaName[]).map((name) => {
              const limit = limits[name], text = name === "bytes" ? bytesText : count;
              return (
                <td class="number">
                  {limit === null ? "–" : `${text(used[name])} of ${text(limit)}`}
                </td>
              );
            })}
          </tr>
        ))}
      </Table>
    </>
  );
}
