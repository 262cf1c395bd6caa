/**
 * The quotas of tenants that have none of their own, as settings give them.
 *
 * @module
 */

import { ConfigError, type QuotaState } from "../errors.ts";
import { readBytes } from "../lib/text/quantities.ts";

type QuotaName = QuotaState["what"];

/** Limits by name; what is missing is unlimited. */
type Limits = { readonly [Name in QuotaName]?: number };

const NAMES: readonly QuotaName[] = ["bytes", "objects", "packs", "pushes"];

/** The limits of every owner and of every repo that has none of its own. */
export function quotaDefaultsOf(
  { ownerQuota, repoQuota }: {
    readonly ownerQuota: string | undefined;
    readonly repoQuota: string | undefined;
  },
): { readonly owner: Limits; readonly repo: Limits } {
  return { owner: parseLimits(ownerQuota), repo: parseLimits(repoQuota) };
}

/** Says what is wrong with such a setting; undefined if nothing is. */
export function checkLimits(text: string): string | undefined {
  try {
    parseLimits(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Reads `bytes=10GiB objects=1000000 packs=5000 pushes=600`; commas may stand between them, too. */
function parseLimits(text = ""): Limits {
  const limits: { [Name in QuotaName]?: number } = {};
  for (const part of text.split(/[\s,]+/).filter(Boolean)) {
    const [word, given = "", ...rest] = part.split("=");
    const name = NAMES.find((known) => known === word);
    const value = name === "bytes"
      ? readBytes(given) ?? NaN
      : /^\d{1,15}$/.test(given)
      ? Number(given)
      : NaN;
    if (name === undefined || rest.length > 0 || !Number.isSafeInteger(value)) {
      throw new ConfigError(`"${part}" is not bytes=, objects=, packs= or pushes= and a number`);
    }
    limits[name] = value;
  }
  return limits;
}
