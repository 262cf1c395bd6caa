import type { Database } from "./client/database.ts";
import { type Repo, toRepo } from "./repos.ts";
import type { Row } from "./schema/tables.ts";
import type { HomeColumns } from "./shards/catalog.ts";

/** A repo, and what one identity may do with it. */
export interface RepoForIdentity extends Repo {
  /** Whether the repo's owner lets the identity push. */
  readonly isCollaborator: boolean;
}

/** The two ways in which a request names a repo. */
export type RepoPlace =
  | { readonly owner: string; readonly slug: string }
  | { readonly repoId: string };

/** Finds a repo for an identity; undefined if there is none or it was deleted. */
export async function findRepoFor(
  db: Database,
  place: RepoPlace,
  identityId: string | undefined,
): Promise<RepoForIdentity | undefined> {
  const isPlace = "repoId" in place
    ? db.sql`r.repo_id = ${place.repoId}`
    : db.sql`r.owner = ${place.owner} and r.slug = ${place.slug}`;
  type Found = Row<"musehub_repos"> & HomeColumns & { is_collaborator: boolean };
  const [row] = await db.query<Found>("find a repo")`
    select r.repo_id, r.owner, r.slug, r.name, r.visibility, r.created_at, r.shard,
      (select s.version from mpackd_shards s where s.name = r.shard) as shard_version,
      exists (select from mpackd_collaborators c
        where c.repo_id = r.repo_id and c.identity_id = ${identityId ?? null}::text)
        as is_collaborator
    from musehub_repos r
    where ${isPlace} and r.deleted_at is null`;
  return row && { ...toRepo(row), isCollaborator: row.is_collaborator };
}

/** Which identity may push to which repo. */
interface Access {
  readonly repoId: string;
  readonly identityId: string;
}

/** Lets an identity push to a repo. A second call changes nothing. */
export async function grantAccess(db: Database, { repoId, identityId }: Access): Promise<void> {
  await db.build("grant access to a repo", (kysely) =>
    kysely.insertInto("mpackd_collaborators")
      .values({ repo_id: repoId, identity_id: identityId })
      .onConflict((conflict) => conflict.doNothing()));
}

/** Withdraws what `grantAccess()` granted; returns whether it was granted. */
export async function withdrawAccess(
  db: Database,
  { repoId, identityId }: Access,
): Promise<boolean> {
  const rows = await db.build(
    "withdraw access to a repo",
    (kysely) =>
      kysely.deleteFrom("mpackd_collaborators")
        .where("repo_id", "=", repoId)
        .where("identity_id", "=", identityId)
        .returning("repo_id"),
  );
  return rows.length > 0;
}

/** The ids of the repos in shards that an identity may push to as a collaborator. */
export async function findCollaborations(db: Database, identityId: string): Promise<string[]> {
  const rows = await db.query<{ repo_id: string }>("list an identity's repos")`
    select c.repo_id from mpackd_collaborators c join musehub_repos r using (repo_id)
    where c.identity_id = ${identityId} and r.deleted_at is null and r.shard is not null`;
  return rows.map((row) => row.repo_id);
}
