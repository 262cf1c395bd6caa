/** @jsxImportSource hono/jsx */
/**
 * The branches of a repo and the last commits of one, for its page.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { type Branch, defaultBranch, findHead, listBranches } from "../../db/history/branches.ts";
import { type ListedCommit, walkCommits } from "../../history/walk_commits.ts";
import { Id, Table } from "./parts.tsx";

const BRANCHES = 50;
const COMMITS = 20;
/** Characters of the first line of a message. */
const SUBJECT_LENGTH = 100;

/** What a page shows of a repo's history. */
export interface ShownHistory {
  /** The first ones by name. */
  readonly branches: readonly Branch[];
  readonly hasMore: boolean;
  /** The branch whose commits are shown. */
  readonly branch: string;
  readonly commits: readonly ListedCommit[];
}

/** Reads it; undefined for a repo without branches, or for a branch that is not there. */
export async function readHistory(
  db: Database,
  repoId: string,
  asked: string | null,
): Promise<ShownHistory | undefined> {
  const branches: Branch[] = [];
  for await (const branch of listBranches(db, repoId)) {
    branches.push(branch);
    if (branches.length > BRANCHES) break;
  }
  const branch = asked ?? await defaultBranch(db, repoId);
  const head = await findHead(db, repoId, branch) ?? branches[0]?.headCommitId;
  if (head === undefined) return undefined;
  const commits: ListedCommit[] = [];
  for await (const page of walkCommits({ db, repoId, from: head, pageCommits: COMMITS })) {
    commits.push(...page.commits);
    break;
  }
  return {
    branches: branches.slice(0, BRANCHES),
    hasMore: branches.length > BRANCHES,
    branch,
    commits,
  };
}

/** Shows it. */
export function History(
  { name, history }: { readonly name: string; readonly history: ShownHistory },
) {
  const { branches, hasMore, branch, commits } = history;
  return (
    <>
      <h2>Branches</h2>
      <Table label="Branches" heads={["Branch", "Head"]}>
        {branches.map((shown) => (
          <tr>
            <td>
              <a href={`/ui/repos/${name}?${new URLSearchParams({ branch: shown.name })}`}>
                {shown.name}
              </a>
            </td>
            <td>
              <Id id={shown.headCommitId} />
            </td>
          </tr>
        ))}
      </Table>
      {hasMore && <p class="soft">There are more: mpackd refs --repo {name}</p>}
      <h2>Last commits of {branch}</h2>
      <Table label={`Last commits of ${branch}`} heads={["Commit", "What", "Who", "When"]}>
        {commits.map((commit) => (
          <tr>
            <td>
              <Id id={commit.commitId} />
            </td>
            <td>{subjectOf(commit)}</td>
            <td>{commit.author}</td>
            <td>{commit.committedAt}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

function subjectOf({ message }: ListedCommit): string {
  const [subject] = message.split("\n", 1);
  return subject.length > SUBJECT_LENGTH ? `${subject.slice(0, SUBJECT_LENGTH)}…` : subject;
}
