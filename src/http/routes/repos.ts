/**
 * Routes for repos: create, get, edit, delete, list their packs.
 *
 * @module
 */

import { listPacks } from "../../db/console_repos.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { NameTakenError, type Repo } from "../../db/repos.ts";
import { createPlacedRepo, deletePlacedRepo, editPlacedRepo } from "../../db/shards/create_repo.ts";
import { HttpProblem } from "../problem.ts";
import { reply } from "../reply.ts";
import { type Route, route, tagged } from "../route.ts";
import {
  EditRepoBody,
  NewRepoBody,
  NoParams,
  NoQuery,
  PacksAnswer,
  PacksQuery,
  RepoAnswer,
  RepoIdPath,
  RepoPath,
} from "../schemas.ts";

/** Owners whose repos the API's own paths would hide. */
const RESERVED = new Set(["api", "ui", "healthz", "readyz", "metrics", "openapi.json"]);

const create = route({
  method: "POST",
  path: "/api/repos",
  id: "createRepo",
  summary: "Create a repo; its slug is made from its name.",
  access: "identity",
  scope: "push",
  params: NoParams,
  query: NoQuery,
  body: NewRepoBody,
  answers: { 201: { description: "The repo was created", schema: RepoAnswer } },
  problems: [403, 409],
  async handle({ request, body, caller, context }) {
    const { owner, name, visibility } = body;
    const slug = slugOf(name);
    if (slug === "" || RESERVED.has(owner)) {
      throw new HttpProblem(
        422,
        "invalid-body",
        `Cannot create the repo ${owner}/${slug}: the name cannot be used`,
      );
    }
    if (!caller.isAdmin && caller.identity?.handle !== owner) {
      throw new HttpProblem(
        403,
        "forbidden",
        `Cannot create a repo of ${owner}: you are not ${owner}`,
      );
    }
    const wanted = { owner, slug, name, visibility };
    const defaults = quotaDefaultsOf(context.config);
    const made = await createPlacedRepo(context.shards, wanted, { defaults }).catch((error) => {
      if (!(error instanceof NameTakenError)) throw error;
      throw new HttpProblem(409, "conflict", error.message);
    });
    const { repo, created } = made;
    if (!created) {
      throw new HttpProblem(409, "conflict", `Cannot create the repo ${owner}/${slug}: it exists`);
    }
    return reply(request, 201, shown(repo), {
      location: `/api/repos/${encodeURIComponent(repo.repoId)}`,
    });
  },
});

const get = route({
  method: "GET",
  path: "/api/repos/{repoId}",
  id: "getRepo",
  summary: "Get a repo.",
  access: "read",
  params: RepoIdPath,
  query: NoQuery,
  answers: { 200: { description: "The repo", schema: RepoAnswer } },
  handle: ({ request, repo }) => reply(request, 200, shown(repo)),
});

const getByName = route({
  method: "GET",
  path: "/{owner}/{slug}",
  id: "getRepoByName",
  summary: "Get a repo by its name.",
  access: "read",
  params: RepoPath,
  query: NoQuery,
  answers: { 200: { description: "The repo", schema: RepoAnswer } },
  handle: ({ request, repo }) => reply(request, 200, shown(repo)),
});

const edit = route({
  method: "PATCH",
  path: "/api/repos/{repoId}",
  id: "editRepo",
  summary: "Change a repo's name for display, or who may read it; for its owner.",
  access: "push",
  params: RepoIdPath,
  query: NoQuery,
  body: EditRepoBody,
  answers: { 200: { description: "The repo as it is now", schema: RepoAnswer } },
  async handle({ request, repo, body, caller, context }) {
    if (!caller.isAdmin && caller.identity?.handle !== repo.owner) {
      throw new HttpProblem(403, "forbidden", "Cannot change the repo: only its owner may");
    }
    const edited = await editPlacedRepo(context.shards, repo, body);
    if (edited === undefined) {
      throw new HttpProblem(404, "repo-not-found", "Cannot find such a repo");
    }
    return reply(request, 200, shown(edited));
  },
});

const packs = route({
  method: "GET",
  path: "/{owner}/{slug}/packs",
  id: "listPacks",
  summary: "List the packs of a repo, newest first.",
  access: "read",
  params: RepoPath,
  query: PacksQuery,
  answers: { 200: { description: "The packs", schema: PacksAnswer } },
  async handle({ request, query: { limit, after }, repo: { repoId }, context: { db } }) {
    // The number of a pack would tell how many packs other repos get.
    const [last] = after === undefined
      ? []
      : await listPacks(db, repoId, { mpackKey: after, limit: 1 });
    if (after !== undefined && last === undefined) {
      const detail = "Cannot use the query: `after` is no pack of this repo; begin again";
      throw new HttpProblem(400, "bad-request", detail);
    }
    const rows = await listPacks(db, repoId, { before: last?.mpackId, limit });
    return reply(request, 200, {
      packs: rows.map((pack) => ({
        mpack_key: pack.mpackKey,
        size_bytes: pack.sizeBytes,
        objects: pack.objects,
        commits: pack.commits,
        snapshots: pack.snapshots,
        tags: pack.tags,
        indexed_at: pack.indexedAt?.toISOString() ?? null,
      })),
      next: rows.length < limit ? null : rows.at(-1)!.mpackKey,
    });
  },
});

const remove = route({
  method: "DELETE",
  path: "/api/repos/{repoId}",
  id: "deleteRepo",
  summary: "Delete a repo, for its owner: the next gc frees its bytes, the name stays taken.",
  access: "push",
  params: RepoIdPath,
  query: NoQuery,
  answers: { 204: { description: "The repo is deleted" } },
  async handle({ repo, caller, context }) {
    if (!caller.isAdmin && caller.identity?.handle !== repo.owner) {
      throw new HttpProblem(403, "forbidden", "Cannot delete the repo: only its owner may");
    }
    await deletePlacedRepo(context.shards, repo);
    return { status: 204, headers: {}, body: null };
  },
});

export const repoRoutes: readonly Route[] = tagged("Repos", [create, get, edit, remove, packs]);
/** Its path fits others, too: it comes after them. */
export const repoNameRoutes: readonly Route[] = tagged("Repos", [getByName]);

function shown({ repoId, owner, slug, name, visibility, createdAt }: Repo) {
  return { repoId, owner, slug, name, visibility, createdAt: createdAt.toISOString() };
}

/** Turns a name into part of a URL: lower case, with dashes for other characters. */
function slugOf(name: string): string {
  return name.normalize("NFKD").toLowerCase().replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[^a-z0-9]+|(?<!-)-+$/g, "").slice(0, 100);
}
