import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";
import type { Repo } from "./repos.ts";

/** A repo as one identity meets it. */
export interface RepoForIdentity extends Repo {
  /** Whether its owner has let the identity in. */
  readonly isCollaborator: boolean;
}

/** How a request names a repo. */
export type RepoPlace =
  | { readonly owner: string; readonly slug: string }
  | { readonly repoId: string };

/** Looks a repo up for somebody; undefined if there is none or it was deleted. */
export async function findRepoFor(
  database: Database,
  place: RepoPlace,
  identityId: string | undefined,
): Promise<RepoForIdentity | undefined> {
  const { sql } = database;
  const isPlace = "repoId" in place
    ? sql`r.repo_id = ${place.repoId}`
    : sql`r.owner = ${place.owner} and r.slug = ${place.slug}`;
  const [row] = await execute(
    database,
    sql<RepoForIdentity[]>`
      select r.repo_id as "repoId", r.owner, r.slug, coalesce(r.name, r.slug) as name,
        coalesce(r.visibility, 'private') as visibility, r.created_at as "createdAt",
        exists (select from mpackd_collaborators c
          where c.repo_id = r.repo_id and c.identity_id = ${identityId ?? null}::text)
          as "isCollaborator"
      from musehub_repos r
      where ${isPlace} and r.deleted_at is null`,
    { action: "look a repo up" },
  );
  return row;
}

/** Lets an identity push to a repo; doing so twice changes nothing. */
export async function grantAccess(
  database: Database,
  { repoId, identityId }: { readonly repoId: string; readonly identityId: string },
): Promise<void> {
  await execute(
    database,
    database.sql`
      insert into mpackd_collaborators (repo_id, identity_id) values (${repoId}, ${identityId})
      on conflict do nothing`,
    { action: "grant access to a repo" },
  );
}

/** Takes that back; returns whether it was granted. */
export async function withdrawAccess(
  database: Database,
  { repoId, identityId }: { readonly repoId: string; readonly identityId: string },
): Promise<boolean> {
  const rows = await execute(
    database,
    database.sql`
      delete from mpackd_collaborators
      where repo_id = ${repoId} and identity_id = ${identityId} returning 1`,
    { action: "withdraw access to a repo" },
  );
  return rows.length > 0;
}
