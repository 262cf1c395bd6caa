import type { QuotaName } from "../../db/quotas/quota.ts";
import type { TenantUsage } from "../../db/quotas/quotas.ts";
import { formatBytes, formatCount } from "../terminal.ts";

const NAMES: readonly QuotaName[] = ["bytes", "objects", "packs", "pushes"];

/** A tenant with limits as `--json` prints it. */
export function quotaJson({ kind, label, limits, used, percent }: TenantUsage) {
  return { of: kind, name: label, percent, limits, used };
}

/** `ada  85%  bytes 8.50 GB of 10.0 GB  packs 3 of 100`, without what is unlimited. */
export function quotaText({ label, limits, used, percent }: TenantUsage): string {
  const parts = NAMES.flatMap((name) => {
    const most = limits[name], shown = name === "bytes" ? formatBytes : formatCount;
    return most === null ? [] : [`${name} ${shown(used[name])} of ${shown(most)}`];
  });
  return [label, `${percent}%`, ...parts].join("  ");
}
