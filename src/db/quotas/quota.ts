/**
 * What a quota limits, and what is said of one that is used up or nearly.
 *
 * @module
 */

import { QuotaError, type QuotaState } from "../../errors.ts";
import { counted, grouped } from "../../lib/numbers.ts";

/** What is limited: what a tenant's packs are together, and how many may come in an hour. */
export type QuotaName = QuotaState["what"];

/** An owner, who has all of their repos' packs together, or one repo. */
export type TenantKind = QuotaState["of"];

/** Limits of one tenant; what is missing is unlimited. */
export type Limits = { readonly [Name in QuotaName]?: number };

/** The limits of tenants that have none of their own. */
export type QuotaDefaults = { readonly [Kind in TenantKind]: Limits };

/** A limit that a push would exceed, as SQL tells it. */
export interface QuotaRefusal extends QuotaState {
  /** How much the push would add. */
  readonly asked: number;
  /** Milliseconds until the hour ends, for pushes. */
  readonly retry_ms?: number | null;
}

/** The defaults as SQL takes them: an object that is empty if there are none. */
export function givenDefaults({ owner, repo }: QuotaDefaults): Partial<QuotaDefaults> {
  const hasAny = (limits: Limits) => Object.keys(limits).length > 0;
  return { ...(hasAny(owner) && { owner }), ...(hasAny(repo) && { repo }) };
}

/** The same as text. */
export function defaultsText(defaults: QuotaDefaults): string {
  return JSON.stringify(givenDefaults(defaults));
}

/** The error that a push ends with. */
export function quotaError(refusal: QuotaRefusal): QuotaError {
  const { of, what, used, limit, asked, retry_ms: retryMs } = refusal;
  const tenant = of === "owner" ? "the repo's owner" : "the repo";
  if (what === "pushes") {
    const minutes = Math.ceil((retryMs ?? 0) / 60_000);
    return new QuotaError(
      `Cannot accept the push: ${tenant} has pushed ${
        counted(used, "time")
      } in this hour and may ` +
        `${counted(limit, "time")}; try again in ${counted(minutes, "minute")}`,
      { of, what, used, limit, retryAfterMs: retryMs ?? 0 },
    );
  }
  const more = asked > 1 ? `${grouped(asked)} more` : "more";
  return new QuotaError(
    `Cannot accept the push: ${tenant} has ${grouped(used)} of ${grouped(limit)} ${what}, and it ` +
      `would bring ${more}; delete a repo (gc frees its space), or ask the operator for more`,
    { of, what, used, limit },
  );
}

/** From this share of a limit on, in percent, its tenant is warned. usage_1.sql has it, too. */
export const WARN_PERCENT = 80;

/** A share in percent that is 100 only when nothing is left. */
export function percentUsed({ used, limit }: Pick<QuotaState, "used" | "limit">): number {
  return limit === 0 ? 100 : Math.floor(100 * used / limit);
}
