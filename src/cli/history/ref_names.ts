import type { Database } from "../../db/client/database.ts";
import { listBranches } from "../../db/history/branches.ts";
import { listTags } from "../../db/history/commit_names.ts";

/** A list of commits shows the names of so many branches and tags, the first ones by name. */
const MAX_NAMES = 10_000;

/** The branches and tags that name each commit. */
export async function refNames(
  db: Database,
  repoId: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const names = new Map<string, string[]>();
  const add = (commitId: string, name: string) => {
    const known = names.get(commitId);
    if (known === undefined) names.set(commitId, [name]);
    else known.push(name);
  };
  let count = 0;
  for await (const { name, headCommitId } of listBranches(db, repoId)) {
    if (++count > MAX_NAMES) break;
    add(headCommitId, name);
  }
  count = 0;
  for await (const { tag, commitId } of listTags(db, repoId)) {
    if (++count > MAX_NAMES) break;
    add(commitId, `tag: ${tag}`);
  }
  return names;
}
