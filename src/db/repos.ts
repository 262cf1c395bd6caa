import { ConfigError } from "../errors.ts";
import { sha256Hex } from "../lib/digest.ts";
import { withPrefix } from "../lib/ids.ts";
import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** Where a repo is found by people. */
export interface RepoName {
  /** Handle of who owns it. */
  readonly owner: string;
  /** Its name in URLs. */
  readonly slug: string;
}

/** A repo that lives. */
export interface Repo extends RepoName {
  /** Its id everywhere else. */
  readonly repoId: string;
  /** Its name for people. */
  readonly name: string;
  /** Who may read it: `public` or `private`. */
  readonly visibility: string;
  /** When it was created. */
  readonly createdAt: Date;
}

/**
 * Splits "OWNER/SLUG".
 *
 * @throws {ConfigError} If it is not two names of letters, digits, dots, dashes and underscores.
 */
export function parseRepoName(text: string): RepoName {
  const [owner, slug, ...rest] = text.split("/");
  if (rest.length > 0 || !NAME.test(owner) || !NAME.test(slug ?? "")) {
    throw new ConfigError(
      `Cannot use ${JSON.stringify(text.slice(0, 200))} as a repo: it is not OWNER/SLUG of ` +
        "letters, digits, dots, dashes and underscores, at most 100 each",
    );
  }
  return { owner, slug };
}

/** Looks a repo up; undefined if there is none or it was deleted. */
export async function findRepo(
  database: Database,
  { owner, slug }: RepoName,
): Promise<Repo | undefined> {
  const [row] = await execute(
    database,
    database.sql<Repo[]>`
      select repo_id as "repoId", owner, slug, coalesce(name, slug) as name,
        coalesce(visibility, 'private') as visibility, created_at as "createdAt"
      from musehub_repos
      where owner = ${owner} and slug = ${slug} and deleted_at is null`,
    { action: "look a repo up" },
  );
  return row;
}

/** Nobody can have the name any more. */
export class NameTakenError extends ConfigError {}

/** A repo to be made. */
export interface NewRepo extends RepoName {
  /** Its name for people. Default: the slug. */
  readonly name?: string;
  /** Default `private`. */
  readonly visibility?: "public" | "private";
}

/**
 * Makes a repo, or finds the one of that name.
 *
 * @returns The repo, and whether this call made it.
 * @throws {NameTakenError} If a deleted repo still has the name.
 */
export async function createRepo(
  database: Database,
  { owner, slug, name = slug, visibility = "private" }: NewRepo,
): Promise<{ readonly repo: Repo; readonly created: boolean }> {
  const createdAt = new Date().toISOString();
  const digest = sha256Hex([owner, slug, createdAt].join("\0"));
  const rows = await execute(
    database,
    database.sql`
      insert into musehub_repos (repo_id, owner, slug, name, visibility, created_at)
      values (${withPrefix(digest)}, ${owner}, ${slug}, ${name}, ${visibility},
        ${createdAt}::timestamptz)
      on conflict (owner, slug) do nothing
      returning repo_id`,
    { action: "create a repo" },
  );
  const repo = await findRepo(database, { owner, slug });
  if (repo === undefined) {
    throw new NameTakenError(`Cannot create repo ${owner}/${slug}: a deleted repo has that name`);
  }
  return { repo, created: rows.length > 0 };
}

/**
 * Finds the repo of a name, or makes it where that is allowed.
 *
 * @throws {ConfigError} `repo-not-found`.
 */
export async function resolveRepo(
  database: Database,
  name: RepoName,
  { create }: { readonly create: boolean },
): Promise<Repo> {
  const repo = await findRepo(database, name);
  if (repo !== undefined) return repo;
  if (create) return (await createRepo(database, name)).repo;
  throw new ConfigError(
    `Cannot find repo ${name.owner}/${name.slug} on ${database.label}; create it first`,
    { code: "repo-not-found" },
  );
}

/**
 * Deletes a repo softly: from now on nobody finds it, and its name stays taken.
 *
 * @returns Whether there was one to delete.
 */
export async function deleteRepo(
  database: Database,
  { repoId }: Pick<Repo, "repoId">,
): Promise<boolean> {
  const rows = await execute(
    database,
    database.sql`
      update musehub_repos set deleted_at = now()
      where repo_id = ${repoId} and deleted_at is null
      returning repo_id`,
    { action: "delete a repo" },
  );
  return rows.length > 0;
}

const REPOS_PER_PAGE = 1_000;

/** The repos that live, by owner and slug, a page at a time. */
export async function* listRepos(
  database: Database,
): AsyncGenerator<readonly Repo[], void, undefined> {
  let after: RepoName = { owner: "", slug: "" };
  for (;;) {
    const page = await execute(
      database,
      database.sql<Repo[]>`
        select repo_id as "repoId", owner, slug, coalesce(name, slug) as name,
          coalesce(visibility, 'private') as visibility, created_at as "createdAt"
        from musehub_repos
        where deleted_at is null and (owner, slug) > (${after.owner}, ${after.slug})
        order by owner, slug limit ${REPOS_PER_PAGE}::bigint`,
      { action: "list repos" },
    );
    yield page;
    if (page.length < REPOS_PER_PAGE) return;
    after = page[page.length - 1];
  }
}
