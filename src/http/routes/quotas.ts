/**
 * Routes for quotas: list (your own, or all for an admin); set and remove, for admins.
 *
 * @module
 */

import { quotaDefaultsOf } from "../../config/quotas.ts";
import type { Limits, QuotaName } from "../../db/quotas/quota.ts";
import {
  listUsage,
  removeQuota,
  type Tenant,
  type TenantUsage,
  UNLIMITED,
} from "../../db/quotas/quotas.ts";
import { findRepo } from "../../db/repos.ts";
import { changeQuota } from "../../maintenance/quotas.ts";
import type { Caller } from "../auth/authenticate.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { reply } from "../reply.ts";
import type { Answer } from "../server/answer.ts";
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
    const tenants = await listUsage(context.db, {
      defaults: quotaDefaultsOf(context.config),
      minPercent,
      viewer: isAdmin ? undefined : identity,
    });
    return reply(request, 200, { quotas: tenants.map(shown) });
  },
});

const change = {
  method: "PUT",
  access: "identity",
  scope: "admin",
  query: NoQuery,
  body: QuotaBody,
  answers: { 200: { description: "The limits, and what is used", schema: TenantAnswer } },
  problems: [403, 404],
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
    setLimits(request, ownerOf(params), body, { caller, context }),
});

const setRepo = route({
  ...change,
  path: "/api/quotas/{owner}/{slug}",
  id: "setRepoQuota",
  summary: "Set limits of a repo. Those not named stay.",
  params: RepoPath,
  handle: async ({ request, params, body, caller, context }) => {
    requireAdmin(caller);
    return await setLimits(request, await repoOf(params, context), body, { caller, context });
  },
});

const removeOwner = route({
  ...remove,
  path: "/api/quotas/{owner}",
  id: "removeOwnerQuota",
  summary: "Remove the limits of an owner.",
  params: OwnerPath,
  handle: ({ params, caller, context }) => removeLimits(ownerOf(params), { caller, context }),
});

const removeRepo = route({
  ...remove,
  path: "/api/quotas/{owner}/{slug}",
  id: "removeRepoQuota",
  summary: "Remove the limits of a repo.",
  params: RepoPath,
  handle: async ({ params, caller, context }) => {
    requireAdmin(caller);
    return await removeLimits(await repoOf(params, context), { caller, context });
  },
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

function ownerOf({ owner }: { readonly owner: string }): Tenant {
  return { kind: "owner", name: owner };
}

async function repoOf(
  name: { readonly owner: string; readonly slug: string },
  { db }: ApiContext,
): Promise<Tenant> {
  const repo = await findRepo(db, name);
  if (repo !== undefined) return { kind: "repo", name: repo.repoId };
  throw new HttpProblem(404, "repo-not-found", "Cannot find such a repo");
}

async function setLimits(
  request: Request,
  tenant: Tenant,
  body: { readonly [Name in QuotaName]?: number | "unlimited" },
  { caller, context }: Admin,
): Promise<Answer> {
  requireAdmin(caller);
  const { db, signal, config } = context;
  const limits: Limits = Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, value === "unlimited" ? UNLIMITED : value]),
  );
  await changeQuota(db, tenant, limits, { waitMs: WAIT_MS, signal });
  const defaults = quotaDefaultsOf(config);
  const [usage] = await listUsage(db, { defaults, tenant });
  return reply(request, 200, shown(usage));
}

async function removeLimits(tenant: Tenant, { caller, context: { db } }: Admin): Promise<Answer> {
  requireAdmin(caller);
  await removeQuota(db, tenant);
  return { status: 204, headers: {}, body: null };
}

function shown({ kind, label, limits, used, percent }: TenantUsage) {
  return { of: kind, name: label, percent, limits, used };
}
