import { percentUsed } from "../../db/quotas/quota.ts";
import type { QuotaState } from "../../errors.ts";

/** The header that warns a client of limits of which 80 % or more are used. */
export function quotaWarning(
  warnings: readonly QuotaState[] | undefined,
): Readonly<Record<string, string>> {
  if (warnings === undefined || warnings.length === 0) return {};
  const shown = warnings.map((state) => `${state.of} ${state.what} ${percentUsed(state)}%`);
  return { "mpackd-quota-warning": shown.join(", ") };
}
