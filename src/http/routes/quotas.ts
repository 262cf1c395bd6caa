/**
 * Routes for quotas: list (your own, or all for an admin); set and remove, for admins.
 *
 * @module
 */

import { quotaDefaultsOf } from "../../config/quotas.ts";
import type { Limits, QuotaName } from "../../db/quotas/quota.ts";
import { listUsage, mergeUsage, type TenantUsage, UNLIMITED } from "../../db/quotas/quotas.ts";
import {
  changePlacedQuota,
  removePlacedQuota,
  SpreadOwnerError,
} from "../../maintenance/quotas.ts";
import type { Caller } from "../auth/authenticate.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { reply } from "../reply.ts";
import type { Answer } from "../server/answer.ts";
import { askEverywhere } from "../shards/everywhere.ts";
import { type Route, route, tagged } from "../route.ts";
import {
  NoParams,
  NoQuery,
  OwnerPath,
  QuotaBody,
  QuotasAnswer,
  QuotasQuery,
  RepoPath,
  TenantAnswer,
} from "../schemas.ts";

/** A client does not wait longer for publishes that began before. */
const WAIT_MS = 10_000;

const list = route({
  method: "GET",
  path: "/api/quotas",
  id: "listQuotas",
  summary: "List your quotas and those of repos that you may push to; admins see all.",
  access: "identity",
  params: NoParams,
  query: QuotasQuery,
  answers: { 200: { description: "Those with limits, the fullest first", schema: QuotasAnswer } },
  async handle({ request, query: { minPercent }, caller: { isAdmin, identity }, context }) {
    const { answers, unreachable } = await askEverywhere(
      context,
      isAdmin ? undefined : identity,
      ({ db, config }, viewer) =>
        listUsage(db, { defaults: quotaDefaultsOf(config), minPercent, viewer }),
    );
    return reply(request, 200, {
      quotas: mergeUsage(answers).map(shown),
      ...(unreachable.length === 0 ? {} : { unreachable }),
    });
  },
});

const change = {
  method: "PUT",
  access: "identity",
  scope: "admin",
  query: NoQuery,
  body: QuotaBody,
  answers: { 200: { description: "The limits, and what is used", schema: TenantAnswer } },
  problems: [403, 404, 409],
} as const;

const remove = {
  method: "DELETE",
  access: "identity",
  scope: "admin",
  query: NoQuery,
  answers: { 204: { description: "The defaults apply again" } },
  problems: [403, 404],
} as const;

const setOwner = route({
  ...change,
  path: "/api/quotas/{owner}",
  id: "setOwnerQuota",
  summary: "Set limits of an owner, for all of their repos together. Those not named stay.",
  params: OwnerPath,
  handle: ({ request, params, body, caller, context }) =>
    setLimits(request, params.owner, body, { caller, context }),
});

const setRepo = route({
  ...change,
  path: "/api/quotas/{owner}/{slug}",
  id: "setRepoQuota",
  summary: "Set limits of a repo. Those not named stay.",
  params: RepoPath,
  handle: ({ request, params: { owner, slug }, body, caller, context }) =>
    setLimits(request, `${owner}/${slug}`, body, { caller, context }),
});

const removeOwner = route({
  ...remove,
  path: "/api/quotas/{owner}",
  id: "removeOwnerQuota",
  summary: "Remove the limits of an owner.",
  params: OwnerPath,
  handle: ({ params, caller, context }) => removeLimits(params.owner, { caller, context }),
});

const removeRepo = route({
  ...remove,
  path: "/api/quotas/{owner}/{slug}",
  id: "removeRepoQuota",
  summary: "Remove the limits of a repo.",
  params: RepoPath,
  handle: ({ params: { owner, slug }, caller, context }) =>
    removeLimits(`${owner}/${slug}`, { caller, context }),
});

export const quotaRoutes: readonly Route[] = tagged("Quotas", [
  list,
  setOwner,
  setRepo,
  removeOwner,
  removeRepo,
]);

interface Admin {
  readonly caller: Caller;
  readonly context: ApiContext;
}

function requireAdmin({ isAdmin }: Caller): void {
  if (isAdmin) return;
  throw new HttpProblem(403, "forbidden", "Cannot change quotas: only admins may");
}

/** @param name The owner, or OWNER/SLUG. */
async function setLimits(
  request: Request,
  name: string,
  body: { readonly [Name in QuotaName]?: number | "unlimited" },
  { caller, context }: Admin,
): Promise<Answer> {
  requireAdmin(caller);
  const { shards, signal, config } = context;
  const limits: Limits = Object.fromEntries(
    Object.entries(body).map(([what, value]) => [what, value === "unlimited" ? UNLIMITED : value]),
  );
  const { db, tenant } = await changePlacedQuota(shards, name, limits, { waitMs: WAIT_MS, signal })
    .catch((error) => {
      if (!(error instanceof SpreadOwnerError)) throw error;
      throw new HttpProblem(409, "conflict", error.message);
    });
  const defaults = quotaDefaultsOf(config);
  const [usage] = await listUsage(db, { defaults, tenant });
  return reply(request, 200, shown(usage));
}

async function removeLimits(name: string, { caller, context }: Admin): Promise<Answer> {
  requireAdmin(caller);
  await removePlacedQuota(context.shards, name);
  return { status: 204, headers: {}, body: null };
}

function shown({ kind, label, limits, used, percent }: TenantUsage) {
  return { of: kind, name: label, percent, limits, used };
}
