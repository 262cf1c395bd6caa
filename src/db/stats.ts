/**
 * Totals: packs, objects and bytes, and how many of them more than once.
 *
 * @module
 */

import type { Database } from "./client/database.ts";

/** Counting hundreds of millions of rows takes minutes. */
const DEADLINE_MS = 10 * 60_000;

/** Totals of one repo, or of all that were not deleted. In snake_case, because they are printed. */
export interface Stats {
  readonly repos: number;
  /** Indexed mpacks. A pack pushed to two repos counts twice. */
  readonly packs: number;
  readonly pack_bytes: number;
  /** Objects in the packs, each as often as a pack has it. */
  readonly pack_objects: number;
  readonly commits: number;
  readonly snapshots: number;
  readonly tags: number;
  /** Objects that the repos can read, each once per repo. */
  readonly refs: number;
  readonly ref_bytes: number;
  /** Refs whose bytes an audit found damaged. */
  readonly damaged_refs: number;
  /** `pack_objects` less `refs`: objects in packs of a repo that had them already. */
  readonly repeated_objects: number;
  /** Bytes of packs that no ref points at: history, headers, repeated objects. */
  readonly other_bytes: number;
  /** Objects that at least one repo can read, each once. */
  readonly objects: number;
  readonly object_bytes: number;
}

/** Counts what one repo has, or all repos that were not deleted. Reads every ref. */
export async function readStats(
  db: Database,
  { repoId }: { readonly repoId?: string } = {},
): Promise<Stats> {
  const [row] = await db.build("count what there is", (kysely, sql) => {
    const total = (column: string) => sql<number>`coalesce(sum(${sql.ref(column)}), 0)::bigint`;
    const count = sql<number>`count(*)`;
    return kysely
      .with((cte) => cte("repos").materialized(), (kysely) =>
        kysely.selectFrom("musehub_repos")
          .select("repo_id")
          .$if(repoId === undefined, (repos) => repos.where("deleted_at", "is", null))
          .$if(repoId !== undefined, (repos) => repos.where("repo_id", "=", repoId!)))
      .with("packs", (kysely) =>
        kysely.selectFrom("musehub_mpacks as p")
          .innerJoin("repos", "repos.repo_id", "p.repo_id")
          .select([
            count.as("packs"),
            total("p.size_bytes").as("pack_bytes"),
            total("p.objects").as("pack_objects"),
            total("p.commits").as("commits"),
            total("p.snapshots").as("snapshots"),
            total("p.tags").as("tags"),
          ]))
      .with("by_object", (kysely) =>
        kysely.selectFrom("musehub_object_refs as r")
          .innerJoin("repos", "repos.repo_id", "r.repo_id")
          .select(({ fn }) => [
            count.as("refs"),
            fn.sum("r.size_bytes").as("ref_bytes"),
            fn.max("r.size_bytes").as("object_bytes"),
            fn.count("r.damaged_at").as("damaged"),
          ])
          .groupBy("r.object_id"))
      .with("refs", (kysely) =>
        kysely.selectFrom("by_object").select([
          total("refs").as("refs"),
          total("ref_bytes").as("ref_bytes"),
          total("damaged").as("damaged_refs"),
          count.as("objects"),
          total("object_bytes").as("object_bytes"),
        ]))
      .selectFrom(["packs", "refs"])
      .select([
        sql<number>`(select count(*) from repos)`.as("repos"),
        "packs.packs",
        "packs.pack_bytes",
        "packs.pack_objects",
        "packs.commits",
        "packs.snapshots",
        "packs.tags",
        "refs.refs",
        "refs.ref_bytes",
        "refs.damaged_refs",
        sql<number>`packs.pack_objects - refs.refs`.as("repeated_objects"),
        sql<number>`packs.pack_bytes - refs.ref_bytes`.as("other_bytes"),
        "refs.objects",
        "refs.object_bytes",
      ]);
  }, { deadlineMs: DEADLINE_MS });
  return row;
}
