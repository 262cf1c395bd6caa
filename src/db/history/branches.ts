/**
 * A repo's branches. They move in the statement that publishes a pack: see history_2.sql.
 *
 * @module
 */

import type { Database } from "../client/database.ts";

const BRANCHES_PER_STATEMENT = 5_000;

/** A branch that has a head. */
export interface Branch {
  readonly name: string;
  readonly headCommitId: string;
}

/** Lists a repo's branches by name; those without a head are left out. */
export async function* listBranches(
  db: Database,
  repoId: string,
): AsyncGenerator<Branch, void, undefined> {
  for (let after = "";;) {
    const page = await db.query<Branch>("list branches")`
      select name, head_commit_id as "headCommitId" from musehub_branches
      where repo_id = ${repoId} and name > ${after} and head_commit_id is not null
      order by name limit ${BRANCHES_PER_STATEMENT}`;
    yield* page;
    if (page.length < BRANCHES_PER_STATEMENT) return;
    after = page[page.length - 1].name;
  }
}

/** The branch that a clone checks out: the first one pushed, `main` before that. */
export async function defaultBranch(db: Database, repoId: string): Promise<string> {
  const [row] = await db.query<{ name: string | null }>("find the default branch")`
    select default_branch as name from musehub_repos where repo_id = ${repoId}`;
  return row?.name ?? "main";
}

/** The head of one branch; undefined if there is no such branch. */
export async function findHead(
  db: Database,
  repoId: string,
  branch: string,
): Promise<string | undefined> {
  const [row] = await db.query<Branch>("find a branch")`
    select name, head_commit_id as "headCommitId" from musehub_branches
    where repo_id = ${repoId} and name = ${branch} and head_commit_id is not null limit 1`;
  return row?.headCommitId;
}

/** Where a branch shall go, in the statement that publishes a pack. */
export interface BranchMove {
  readonly name: string;
  /** The commit it shall point to. */
  readonly head: string;
  /** Where it must be at that time; null: it must not be there. */
  readonly expected: string | null;
  /** Moves it from wherever it is. */
  readonly force: boolean;
}

/** Moves one branch; returns false if it is not where it was expected. */
export async function moveBranch(
  db: Database,
  repoId: string,
  branch: BranchMove,
): Promise<boolean> {
  const moves = JSON.stringify([{ place: 1, branch }]);
  const elsewhere = await db.query<object>("move a branch")`
    select place from mpackd_move_branches_2(${moves}::text::jsonb, array[${repoId}]::text[])`;
  return elsewhere.length === 0;
}
