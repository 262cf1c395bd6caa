import { ConfigError } from "../errors.ts";
import { sha256Hex } from "../lib/digest.ts";
import { withPrefix } from "../lib/ids.ts";
import { mostSimilar } from "../lib/similar.ts";
import type { Database } from "./client/database.ts";
import type { Row } from "./schema/tables.ts";
import { type HomeColumns, toHome } from "./shards/catalog.ts";
import type { RepoHome } from "./shards/shard.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** The name by which people find a repo. */
export interface RepoName {
  /** Handle of the repo's owner. */
  readonly owner: string;
  /** The repo's name in URLs, unique per owner. */
  readonly slug: string;
}

/** A repo that was not deleted. */
export interface Repo extends RepoName {
  /** The id that other tables and blob keys use. */
  readonly repoId: string;
  /** The name for display. */
  readonly name: string;
  /** Who may read it: `public` or `private`. */
  readonly visibility: string;
  /** When it was created. */
  readonly createdAt: Date;
  /** The shard that has its rows; undefined: the database itself. */
  readonly home: RepoHome | undefined;
}

/** Whether a text can be the name of an owner, or a slug. */
export function isName(text: string): boolean {
  return NAME.test(text);
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

type RepoRow =
  & Pick<
    Row<"musehub_repos">,
    "repo_id" | "owner" | "slug" | "name" | "visibility" | "created_at"
  >
  & HomeColumns;

/** A repo of its row. Other producers may leave name and visibility out. */
export function toRepo(row: RepoRow): Repo {
  const { repo_id: repoId, owner, slug } = row;
  return {
    repoId,
    owner,
    slug,
    name: row.name ?? slug,
    visibility: row.visibility ?? "private",
    createdAt: row.created_at ?? new Date(0),
    home: toHome(row),
  };
}

/** Finds a repo by its name; undefined if there is none or it was deleted. */
export async function findRepo(
  db: Database,
  { owner, slug }: RepoName,
): Promise<Repo | undefined> {
  const [row] = await db.query<RepoRow>("find a repo")`
    select repo_id, owner, slug, name, visibility, created_at, shard,
      (select s.version from mpackd_shards s where s.name = shard) as shard_version
    from musehub_repos
    where owner = ${owner} and slug = ${slug} and deleted_at is null`;
  return row && toRepo(row);
}

/** A deleted repo keeps the name. */
export class NameTakenError extends ConfigError {}

/** A repo to create. */
export interface NewRepo extends RepoName {
  /** The name for display. Default: the slug. */
  readonly name?: string;
  /** Who may read it. Default `private`. */
  readonly visibility?: "public" | "private";
}

/**
 * Creates a repo, or finds the one that has the name.
 *
 * @returns The repo, and whether this call created it.
 * @throws {NameTakenError} If a deleted repo has the name.
 */
export async function createRepo(
  db: Database,
  wanted: NewRepo,
): Promise<{ readonly repo: Repo; readonly created: boolean }> {
  const { owner, slug } = wanted;
  const made = await insertRepo(db, wanted, null);
  if (made !== undefined) return made;
  throw new NameTakenError(`Cannot create repo ${owner}/${slug}: a deleted repo has that name`);
}

/**
 * Writes the row of a new repo, or finds the repo that has the name.
 *
 * @param place The shard that it shall live in; null: the database itself; undefined: the database
 * itself, if it has no shards.
 * @returns Undefined if a deleted repo has the name, or the place is undefined and there are shards.
 */
export async function insertRepo(
  db: Database,
  { owner, slug, name = slug, visibility = "private" }: NewRepo,
  place: string | null | undefined,
): Promise<{ readonly repo: Repo; readonly created: boolean } | undefined> {
  const createdAt = new Date().toISOString();
  const repoId = withPrefix(sha256Hex([owner, slug, createdAt].join("\0")));
  const rows = await db.query("create a repo")`
    insert into musehub_repos (repo_id, owner, slug, name, visibility, created_at, shard)
    select ${repoId}, ${owner}, ${slug}, ${name}, ${visibility}, ${createdAt}::timestamptz,
      ${place ?? null}::text
    where ${place !== undefined}::boolean or not exists (select from mpackd_shards)
    on conflict (owner, slug) do nothing
    returning repo_id`;
  const repo = await findRepo(db, { owner, slug });
  return repo && { repo, created: rows.length > 0 };
}

/**
 * Finds a repo by its name.
 *
 * @throws {ConfigError} `repo-not-found`.
 */
export async function resolveRepo(db: Database, name: RepoName): Promise<Repo> {
  const repo = await findRepo(db, name);
  if (repo !== undefined) return repo;
  const wanted = `${name.owner}/${name.slug}`, meant = await similarRepo(db, wanted);
  throw new ConfigError(
    `Cannot find repo ${wanted} on ${db.label}: ` +
      (meant === undefined
        ? `"mpackd repo list" shows all, "mpackd repo create ${wanted}" makes it`
        : `did you mean ${meant}?`),
    { code: "repo-not-found" },
  );
}

/** Repos that are compared with a name that none has. */
const COMPARED = 1_000;

/** The repo that somebody who misspelt a name meant: of the first 1,000 by name. */
async function similarRepo(db: Database, wanted: string): Promise<string | undefined> {
  const rows = await db.query<{ name: string }>("look for a repo")`
    select owner || '/' || slug as name from musehub_repos where deleted_at is null
    order by owner, slug limit ${COMPARED}::bigint`;
  return mostSimilar(wanted, rows.map((row) => row.name));
}

/** What can be changed of a repo. */
export interface RepoEdit {
  /** The name for display. */
  readonly name?: string;
  readonly visibility?: "public" | "private";
}

/**
 * Changes a repo.
 *
 * @returns It as it is now; undefined if it was deleted.
 */
export async function editRepo(
  db: Database,
  { repoId }: Pick<Repo, "repoId">,
  { name, visibility }: RepoEdit,
): Promise<Repo | undefined> {
  const [row] = await db.query<RepoRow>("edit a repo")`
    update musehub_repos set name = coalesce(${name ?? null}::text, name),
      visibility = coalesce(${visibility ?? null}::text, visibility)
    where repo_id = ${repoId} and deleted_at is null
    returning repo_id, owner, slug, name, visibility, created_at, shard,
      (select s.version from mpackd_shards s where s.name = shard) as shard_version`;
  return row && toRepo(row);
}

/**
 * Marks a repo as deleted: no lookup finds it any more, and its name stays taken.
 *
 * @returns Whether this call deleted it.
 */
export async function deleteRepo(
  db: Database,
  { repoId }: Pick<Repo, "repoId">,
): Promise<boolean> {
  const rows = await db.build("delete a repo", (kysely, sql) =>
    kysely.updateTable("musehub_repos")
      .set({ deleted_at: sql`now()` })
      .where("repo_id", "=", repoId)
      .where("deleted_at", "is", null)
      .returning("repo_id"));
  return rows.length > 0;
}

const REPOS_PER_PAGE = 1_000;

/** Lists all repos that were not deleted, by owner and slug, in pages. */
export async function* listRepos(db: Database): AsyncGenerator<readonly Repo[], void, undefined> {
  let after: RepoName = { owner: "", slug: "" };
  for (;;) {
    const rows = await db.build("list repos", (kysely) =>
      kysely.selectFrom("musehub_repos")
        .leftJoin("mpackd_shards as s", "s.name", "musehub_repos.shard")
        .select(["repo_id", "owner", "slug", "musehub_repos.name", "visibility", "created_at"])
        .select(["shard", "s.version as shard_version"])
        .where("deleted_at", "is", null)
        .where((eb) => eb(eb.refTuple("owner", "slug"), ">", eb.tuple(after.owner, after.slug)))
        .orderBy("owner").orderBy("slug")
        .limit(REPOS_PER_PAGE));
    yield rows.map(toRepo);
    if (rows.length < REPOS_PER_PAGE) return;
    after = rows[rows.length - 1];
  }
}
