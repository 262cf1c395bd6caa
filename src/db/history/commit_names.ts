import type { Database } from "../client/database.ts";

/** The commit that a tag names; undefined if there is no such tag. */
export async function findTagged(
  db: Database,
  repoId: string,
  tag: string,
): Promise<string | undefined> {
  const [row] = await db.query<{ id: string }>("find a tag")`
    select commit_id as id from musehub_tags where repo_id = ${repoId} and tag = ${tag} limit 1`;
  return row?.id;
}

/** A tag of a repo. */
export interface Tag {
  readonly tag: string;
  readonly commitId: string;
  readonly createdAt: Date | null;
}

const TAGS_PER_STATEMENT = 5_000;

/** Lists a repo's tags by name. */
export async function* listTags(
  db: Database,
  repoId: string,
): AsyncGenerator<Tag, void, undefined> {
  for (let after = "";;) {
    const page = await db.query<Tag>("list tags")`
      select tag, commit_id as "commitId", created_at as "createdAt" from musehub_tags
      where repo_id = ${repoId} and tag > ${after} order by tag limit ${TAGS_PER_STATEMENT}`;
    yield* page;
    if (page.length < TAGS_PER_STATEMENT) return;
    after = page[page.length - 1].tag;
  }
}
