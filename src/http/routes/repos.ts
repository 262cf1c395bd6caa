/**
 * Repos: made, looked at, deleted.
 *
 * @module
 */

import { createRepo, deleteRepo, NameTakenError, type Repo } from "../../db/repos.ts";
import { HttpProblem } from "../problem.ts";
import { reply } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { NewRepoBody, NoParams, NoQuery, RepoAnswer, RepoIdPath } from "../schemas.ts";

/** Owners that would hide behind the API's own paths. */
const RESERVED = new Set(["api", "healthz", "readyz", "metrics", "openapi.json"]);

const create = route({
  method: "POST",
  path: "/api/repos",
  id: "createRepo",
  summary: "Make a repo; its slug is made of its name.",
  access: "identity",
  scope: "push",
  params: NoParams,
  query: NoQuery,
  body: NewRepoBody,
  answers: { 201: { description: "It was made", schema: RepoAnswer } },
  problems: [403, 409],
  async handle({ request, body, caller, parts }) {
    const { owner, name, visibility } = body;
    const slug = slugOf(name);
    if (slug === "" || RESERVED.has(owner)) {
      throw new HttpProblem(422, "invalid-body", `Cannot make the repo ${owner}/${slug}`);
    }
    if (!caller.isAdmin && caller.identity?.handle !== owner) {
      throw new HttpProblem(
        403,
        "forbidden",
        `Cannot make repos of ${owner}: you are not ${owner}`,
      );
    }
    const made = await createRepo(parts.db, { owner, slug, name, visibility }).catch((error) => {
      if (!(error instanceof NameTakenError)) throw error;
      throw new HttpProblem(409, "conflict", error.message);
    });
    const { repo, created } = made;
    if (!created) {
      throw new HttpProblem(409, "conflict", `Cannot make the repo ${owner}/${slug}: there is one`);
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
  summary: "Look at a repo.",
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
  summary: "Delete a repo: nobody can read it any more; its bytes go with the next gc.",
  access: "push",
  params: RepoIdPath,
  query: NoQuery,
  answers: { 204: { description: "It is deleted" } },
  async handle({ repo, caller, parts }) {
    if (!caller.isAdmin && caller.identity?.handle !== repo.owner) {
      throw new HttpProblem(403, "forbidden", "Cannot delete the repo: only its owner may");
    }
    await deleteRepo(parts.db, repo);
    return new Response(null, { status: 204 });
  },
});

/** The routes. */
export const repoRoutes: readonly Route[] = [create, get, remove];

function shown({ repoId, owner, slug, name, visibility, createdAt }: Repo) {
  return { repoId, owner, slug, name, visibility, createdAt: createdAt.toISOString() };
}

/** A name as part of a URL: lower case, and dashes for whatever does not fit. */
function slugOf(name: string): string {
  return name.normalize("NFKD").toLowerCase().replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[^a-z0-9]+|-+$/g, "").slice(0, 100);
}
