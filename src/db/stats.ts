/**
 * Totals: packs, objects and bytes, and how many of them more than once.
 *
 * @module
 */

import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import { TABLES } from "./schema/tables.ts";

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

/** What `gc` will take, as far as it can be told without reading the refs. In snake_case. */
export interface WaitingForGc {
  readonly repos: number;
  /** Of deleted repos. */
  readonly packs: number;
  readonly pack_bytes: number;
  /** Batches of jobs that have ended. */
  readonly staged_batches: number;
}

/** Counts what waits for `gc`: the rows of deleted repos, and staged rows of jobs that have ended. */
export async function readWaitingForGc(db: Database): Promise<WaitingForGc> {
  const [row] = await db.query<WaitingForGc>("count what waits for gc", {
    deadlineMs: DEADLINE_MS,
  })`
    select
      (select count(*) from musehub_repos where deleted_at is not null and exists (
        select from musehub_mpacks p where p.repo_id = musehub_repos.repo_id)) as repos,
      count(p.mpack_id) as packs, coalesce(sum(p.size_bytes), 0)::bigint as pack_bytes,
      (select count(*) from mpack_staged_objects s where not exists (
        select from musehub_background_jobs j
        where j.job_id = s.job_id and j.status in ('pending', 'running'))) as staged_batches
    from musehub_mpacks p join musehub_repos r using (repo_id) where r.deleted_at is not null`;
  return row;
}

/** What one table takes on the disk, in bytes. In snake_case. */
export interface TableSpace {
  readonly name: string;
  readonly table_bytes: number;
  readonly index_bytes: number;
}

/** What the tables take on the disk, the largest first. */
export function readSpace(db: Database): Promise<TableSpace[]> {
  const names = arrayLiteral(Object.keys(TABLES));
  return db.query<TableSpace>("measure the tables")`
    select name, pg_table_size(oid) as table_bytes, pg_indexes_size(oid) as index_bytes
    from unnest(${names}::text[]) as name, to_regclass(name) as oid
    where oid is not null order by pg_total_relation_size(oid) desc, name`;
}
