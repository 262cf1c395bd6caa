/**
 * Routes for repos: create, get, delete.
 *
 * @module
 */

import { createRepo, deleteRepo, NameTakenError, type Repo } from "../../db/repos.ts";
import { HttpProblem } from "../problem.ts";
import { reply } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { NewRepoBody, NoParams, NoQuery, RepoAnswer, RepoIdPath } from "../schemas.ts";

/** Owners whose repos the API's own paths would hide. */
const RESERVED = new Set(["api", "ui", "healthz", "readyz", "metrics", "openapi.json"]);

const create = route({
  method: "POST",
  path: "/api/repos",
  id: "createRepo",
  summary: "Create a repo; its slug is derived from its name.",
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
    const made = await createRepo(context.db, { owner, slug, name, visibility }).catch((error) => {
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

const remove = route({
  method: "DELETE",
  path: "/api/repos/{repoId}",
  id: "deleteRepo",
  summary: "Delete a repo: it cannot be read any more; the next gc frees its bytes.",
  access: "push",
  params: RepoIdPath,
  query: NoQuery,
  answers: { 204: { description: "The repo is deleted" } },
  async handle({ repo, caller, context }) {
    if (!caller.isAdmin && caller.identity?.handle !== repo.owner) {
      throw new HttpProblem(403, "forbidden", "Cannot delete the repo: only its owner may");
    }
    await deleteRepo(context.db, repo);
    return new Response(null, { status: 204 });
  },
});

export const repoRoutes: readonly Route[] = [create, get, remove];

function shown({ repoId, owner, slug, name, visibility, createdAt }: Repo) {
  return { repoId, owner, slug, name, visibility, createdAt: createdAt.toISOString() };
}

/** Turns a name into part of a URL: lower case, with dashes for other characters. */
function slugOf(name: string): string {
  return name.normalize("NFKD").toLowerCase().replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[^a-z0-9]+|(?<!-)-+$/g, "").slice(0, 100);
}
