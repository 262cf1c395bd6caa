/**
 * The rows of one repo: reads them in pages, writes them into another shard, adds them up, and
 * deletes them.
 *
 * A page is one array of texts for each column, as PostgreSQL writes them: values pass through this
 * process unread, whatever they are. `mpack_id` is another number in each shard, so rows carry the
 * key of their mpack instead.
 *
 * @module
 */

import { trimEndOf } from "../../lib/text/trim.ts";
import type { Database } from "../client/database.ts";
import { TABLES } from "../schema/tables.ts";
import { DURABLY, quoteName } from "./move_sql.ts";
import { letThrough } from "./repo_hold.ts";

const SUM_DEADLINE_MS = 6 * 60 * 60_000;

/** A table with rows of repos. */
export interface RepoTable {
  readonly table: keyof typeof TABLES;
  /** What pages go by: with the repo it names a row. */
  readonly key: string;
  /** Whether rows name an mpack. */
  readonly isLocated?: boolean;
  /** Rows of a page; fewer where rows hold texts of users. */
  readonly pageRows: number;
  /** Which rows are the repo's, if the table does not say so. */
  readonly filter?: "webhooks" | "jobs";
  /** The table of all repos that knows each id. */
  readonly shared?: { readonly table: keyof typeof TABLES; readonly id: string };
  /** Columns that are not copied. */
  readonly left?: readonly string[];
}

const REFS = 2_000;
const TEXTS = 100;

/**
 * Every table with rows of repos but those of limits and pauses, in the order in which they are
 * copied; they are deleted in the other one. Branches come late: without one, gc does not take a half-copied history for garbage.
 */
export const REPO_TABLES: readonly RepoTable[] = [
  // Without blob_key gc does not take an mpack for unused. It is written when all rows are there.
  { table: "musehub_mpacks", key: "mpack_key", pageRows: REFS, left: ["mpack_id", "blob_key"] },
  {
    table: "musehub_object_refs",
    key: "object_id",
    isLocated: true,
    pageRows: REFS,
    shared: { table: "musehub_objects", id: "object_id" },
  },
  {
    table: "musehub_commit_refs",
    key: "commit_id",
    isLocated: true,
    pageRows: TEXTS,
    shared: { table: "musehub_commits", id: "commit_id" },
  },
  {
    table: "musehub_snapshot_refs",
    key: "snapshot_id",
    isLocated: true,
    pageRows: REFS,
    shared: { table: "musehub_snapshots", id: "snapshot_id" },
  },
  { table: "musehub_commit_graph", key: "commit_id", pageRows: REFS },
  { table: "mpackd_uploads", key: "mpack_key", pageRows: REFS },
  // The hash of the owner is written by a trigger, which does not find the repo yet.
  { table: "musehub_background_jobs", key: "job_id", pageRows: TEXTS, left: ["tenant_hash"] },
  { table: "mpackd_attempts", key: "job_id", pageRows: TEXTS, filter: "jobs" },
  { table: "mpackd_finished_audits", key: "audit_id", pageRows: REFS },
  { table: "musehub_tags", key: "tag_id", pageRows: REFS },
  { table: "musehub_branches", key: "branch_id", pageRows: REFS },
  // Behind the branches: webhooks are not told that these move.
  { table: "mpackd_webhooks", key: "webhook_id", pageRows: TEXTS },
  { table: "mpackd_deliveries", key: "delivery_id", pageRows: TEXTS, filter: "webhooks" },
];

/** A page of rows: for each column an array of texts, as PostgreSQL writes it. */
export interface Page {
  readonly rows: number;
  /** The key of the last row; the next page begins behind it. */
  readonly last: string;
  readonly columns: Readonly<Record<string, string>>;
}

const MPACK = "its_mpack_key";

function columnsOf({ table, isLocated, left = [] }: RepoTable): string[] {
  return Object.keys(TABLES[table])
    .filter((name) => !left.includes(name) && !(isLocated && name === "mpack_id"));
}

/** A fragment: which rows of `t` are the repo's. */
function isOfRepo({ sql }: Database, { filter }: RepoTable, repoId: string) {
  switch (filter) {
    case "webhooks":
      return sql`t.webhook_id in (select webhook_id from mpackd_webhooks where repo_id = ${repoId})`;
    case "jobs":
      return sql`t.job_id in (select job_id from musehub_background_jobs where repo_id = ${repoId})`;
    default:
      return sql`t.repo_id = ${repoId}`;
  }
}

function sourceOf({ table, isLocated }: RepoTable): string {
  return `${table} t${
    isLocated
      ? " left join musehub_mpacks m on m.mpack_id = t.mpack_id and m.repo_id = t.repo_id"
      : ""
  }`;
}

/** Reads a page of the repo's rows behind a key; undefined if there are none. */
export async function readRepoPage(
  db: Database,
  of: RepoTable,
  { repoId, after }: { readonly repoId: string; readonly after: string },
): Promise<Page | undefined> {
  const columns = columnsOf(of), text = db.sql.unsafe.bind(db.sql);
  const read = columns.map((name) => `t.${quoteName(name)}::text`);
  // An attempt has its job's key: all of a job's attempts are in one page.
  const ties = of.filter === "jobs" ? " with ties" : "";
  type Row = { rows: number; last: string | null } & Record<string, string | null>;
  const [row] = await db.query<Row>(`read rows of a repo in ${of.table}`)`
    select count(*)::int as rows, (array_agg(k))[count(*)] as last,
      ${
    text(
      [...columns, ...(of.isLocated ? [MPACK] : [])]
        .map((name) => `array_agg(${quoteName(name)})::text as ${quoteName(name)}`).join(", "),
    )
  }
    from (
      select t.${text(of.key)}::text as k, ${
    text(read.map((value, i) => `${value} as ${quoteName(columns[i])}`).join(", "))
  }${text(of.isLocated ? `, m.mpack_key as ${MPACK}` : "")}
      from ${text(sourceOf(of))}
      where ${isOfRepo(db, of, repoId)} and t.${text(of.key)} > ${after}
      order by t.${text(of.key)} fetch first ${text(String(of.pageRows))} rows ${
    text(ties || "only")
  }
    ) as page`;
  return toPage(row);
}

/** Reads the rows of all repos that a page's ids have. */
export async function readSharedPage(
  db: Database,
  { shared }: RepoTable,
  ids: string,
): Promise<Page | undefined> {
  const { table, id } = shared!, columns = Object.keys(TABLES[table]);
  const text = db.sql.unsafe.bind(db.sql);
  type Row = { rows: number; last: string | null } & Record<string, string | null>;
  const [row] = await db.query<Row>(`read rows in ${table}`)`
    select count(*)::int as rows, max(t.${text(id)}) as last, ${
    text(
      columns.map((name) => `array_agg(t.${quoteName(name)}::text)::text as ${quoteName(name)}`)
        .join(", "),
    )
  }
    from ${text(table)} t where t.${text(id)} = any(${ids}::text[])`;
  return toPage(row);
}

function toPage(row: { rows: number; last: string | null } & Record<string, string | null>) {
  const { rows, last, ...columns } = row;
  if (rows === 0) return undefined;
  return { rows, last: last!, columns: columns as Record<string, string> };
}

/** Writes a page; rows that are there stay. */
export async function writeRepoPage(
  db: Database,
  of: Pick<RepoTable, "table" | "key" | "isLocated">,
  { columns: values }: Page,
): Promise<void> {
  const { sql } = db, { table, key, isLocated } = of, text = sql.unsafe.bind(sql);
  const columns = Object.keys(values).filter((name) => name !== MPACK);
  const types = TABLES[table] as Record<string, string>;
  const names = columns.map(quoteName).join(", ");
  const casts = columns.map((name) => `u.${quoteName(name)}::${trimEndOf(types[name], "?=")}`)
    .join(", ");
  const given = [...columns, ...(isLocated ? [MPACK] : [])];
  const arrays = given.map((name, i) =>
    i === 0 ? sql`${values[name]}::text[]` : sql`, ${values[name]}::text[]`
  );
  await db.query(`write rows of a repo into ${table}`)`
    insert into ${text(table)} (${text(names)}${text(isLocated ? ", mpack_id" : "")})
    select ${text(casts)}${text(isLocated ? ", m.mpack_id" : "")}
    from unnest(${arrays}) as u(${text(given.map(quoteName).join(", "))})
    ${
    text(
      isLocated
        ? `left join musehub_mpacks m on m.repo_id = u.repo_id and m.mpack_key = u.${MPACK}`
        : "",
    )
  }
    order by u.${text(quoteName(key))} collate "C"
    on conflict do nothing`;
}

/** Reads where the blobs of the repo's mpacks are. */
export async function readBlobKeys(
  db: Database,
  { repoId, after }: { readonly repoId: string; readonly after: string },
): Promise<Page | undefined> {
  type Row = { rows: number; last: string | null } & Record<string, string | null>;
  const [row] = await db.query<Row>("read the blobs of a repo")`
    select count(*)::int as rows, max(mpack_key) as last, array_agg(mpack_key)::text as mpack_key,
      array_agg(blob_key)::text as blob_key
    from (
      select mpack_key, blob_key from musehub_mpacks
      where repo_id = ${repoId} and mpack_key > ${after} order by mpack_key
      limit ${REFS}::bigint
    ) as page`;
  return toPage(row);
}

/** Writes where the blobs of the repo's mpacks are: from now on they are mpacks like others. */
export async function writeBlobKeys(
  db: Database,
  repoId: string,
  { columns }: Page,
): Promise<void> {
  await db.query("write the blobs of a repo")`
    update musehub_mpacks m set blob_key = u.blob_key
    from unnest(${columns.mpack_key}::text[], ${columns.blob_key}::text[]) as u(mpack_key, blob_key)
    where m.repo_id = ${repoId} and m.mpack_key = u.mpack_key
      and m.blob_key is distinct from u.blob_key`;
}

/** Counts a repo's rows in a table, and adds up a hash of each; the number of its mpack is left out. */
export async function sumRepoTable(
  db: Database,
  of: RepoTable,
  repoId: string,
): Promise<{ readonly rows: number; readonly checksum: string }> {
  const columns = columnsOf({ ...of, left: of.left?.filter((name) => name !== "blob_key") });
  const row = [
    ...columns.sort().map((name) => `t.${quoteName(name)}`),
    ...(of.isLocated ? ["m.mpack_key"] : []),
  ].join(", ");
  const text = db.sql.unsafe.bind(db.sql);
  type Sum = { rows: number; checksum: string };
  const [sum] = await db.query<Sum>(`add up a repo's rows in ${of.table}`, {
    deadlineMs: SUM_DEADLINE_MS,
  })`
    select count(*)::bigint as rows,
      coalesce(sum(hashtextextended(row(${text(row)})::text, 0)), 0)::text as checksum
    from ${text(sourceOf(of))} where ${isOfRepo(db, of, repoId)}`;
  return sum;
}

/**
 * Deletes up to a page of a repo's rows; returns how many. Jobs that the catalog had before a shard
 * ran them stay.
 */
export async function deleteRepoPage(
  db: Database,
  of: RepoTable,
  { repoId, moveId }: { readonly repoId: string; readonly moveId: string },
): Promise<number> {
  const { sql } = db, text = sql.unsafe.bind(sql);
  const isForwarded = of.key === "job_id"
    ? sql`and not exists (select from mpackd_forwarded_jobs f where f.job_id = t.job_id)`
    : sql``;
  const rows = await db.query(`delete rows of a repo in ${of.table}`)`
    with allowed as materialized (
      select ${letThrough(db, moveId)} as is_allowed
    ), picked as materialized (
      select distinct t.${text(of.key)} as k from ${text(of.table)} t, allowed
      where is_allowed and ${isOfRepo(db, of, repoId)} ${isForwarded}
      order by 1 limit ${text(String(of.pageRows))}
    )
    delete from ${text(of.table)} t using picked
    where t.${text(of.key)} = picked.k and ${isOfRepo(db, of, repoId)}
    returning 1`;
  return rows.length;
}

/** Deletes what is staged for a repo's jobs. */
export async function deleteStagedOf(db: Database, repoId: string): Promise<void> {
  await db.query("delete what is staged for a repo")`
    with jobs as materialized (
      select job_id from musehub_background_jobs where repo_id = ${repoId}
    ), records as (
      delete from mpack_staged_records s using jobs where s.job_id = jobs.job_id
    )
    delete from mpack_staged_objects s using jobs where s.job_id = jobs.job_id`;
}

/** Notes that the repo has moved away: gc leaves its blobs alone from now on. */
export async function noteMovedAway(db: Database, repoId: string): Promise<void> {
  await db.query("note that a repo has moved away")`
    insert into mpackd_moved_repos (repo_id) values (${repoId}) on conflict do nothing`;
}

/** Forgets that the repo had moved away: all of it is here again. */
export async function forgetMovedAway(db: Database, repoId: string): Promise<void> {
  await db.query("forget that a repo had moved away")`
    delete from mpackd_moved_repos where repo_id = ${repoId}`;
}

/** Deletes the repo's own row. */
export async function deleteRepoRow(db: Database, repoId: string): Promise<void> {
  await db.query("delete the row of a repo")`
    delete from musehub_repos where repo_id = ${repoId}`;
}

/** Deletes limits, usage and pauses of a repo that has moved away, and at last the hold. */
export async function deleteRepoRest(
  db: Database,
  repoId: string,
  { isCatalog }: { readonly isCatalog: boolean },
): Promise<void> {
  await db.query("delete the rest of a repo")`
    with quotas as (
      delete from mpackd_quotas
      where kind = 'repo' and name = ${repoId} and not ${isCatalog}::boolean
    ), usage as (
      delete from mpackd_usage where kind = 'repo' and name = ${repoId}
    ), pauses as (
      delete from mpackd_pauses where kind = 'repo' and value = ${repoId}
    )
    delete from mpackd_collections where repo_id = ${repoId}`;
}

/** What of a repo is one row elsewhere. */
export interface RepoRest {
  readonly default_branch: string | null;
  readonly is_mixed: boolean;
  /** Whether an operator has paused it. */
  readonly is_paused: boolean;
  readonly pushes: number | null;
  readonly hour_began_at: string | null;
}

/** Reads it. */
export async function readRepoRest(db: Database, repoId: string): Promise<RepoRest> {
  const [row] = await db.query<RepoRest>("read the rest of a repo")`
    select r.default_branch,
      coalesce((select c.is_mixed from mpackd_collections c where c.repo_id = ${repoId}), false)
        as is_mixed,
      exists (select from mpackd_pauses p where p.kind = 'repo' and p.value = ${repoId})
        as is_paused,
      u.pushes, u.hour_began_at::text
    from (select) as always
    left join musehub_repos r on r.repo_id = ${repoId}
    left join mpackd_usage u on u.kind = 'repo' and u.name = ${repoId}`;
  return row;
}

/** Writes it. The repo's packs are counted anew. */
export async function writeRepoRest(
  db: Database,
  repoId: string,
  { rest, isPaused }: { readonly rest: RepoRest; readonly isPaused: boolean },
): Promise<void> {
  await db.query("write the rest of a repo")`
    with named as (
      update musehub_repos set default_branch = ${rest.default_branch} where repo_id = ${repoId}
    ), mixed as (
      update mpackd_collections set is_mixed = ${rest.is_mixed}::boolean where repo_id = ${repoId}
    ), paused as (
      insert into mpackd_pauses (kind, value)
      select 'repo', ${repoId} where ${isPaused}::boolean on conflict do nothing
    )
    update mpackd_usage set pushes = ${rest.pushes ?? 0}::bigint,
      hour_began_at = ${rest.hour_began_at}::text::timestamptz
    where kind = 'repo' and name = ${repoId}`;
  await db.query("count what a repo and its owner have")`
    select mpackd_recount_1(u.kind, u.name) from mpackd_usage u
    where u.kind = 'repo' and u.name = ${repoId}
      or u.kind = 'owner' and u.name = (
        select r.owner from musehub_repos r where r.repo_id = ${repoId})
    order by u.kind, u.name`;
}

/** Counts anew what an owner has in a shard that a repo has left. */
export async function recountOwner(db: Database, owner: string): Promise<void> {
  await db.query("count what an owner has")`
    select mpackd_recount_1(kind, name) from mpackd_usage where kind = 'owner' and name = ${owner}`;
}

/** Writes of which owner the repo's open jobs are. */
export async function setTenant(
  db: Database,
  { repoId, owner }: { readonly repoId: string; readonly owner: string },
  moveId: string,
): Promise<void> {
  await db.query("write whose jobs a repo's are")`
    update musehub_background_jobs set tenant_hash = mpackd_tenant_hash(${owner})
    where repo_id = ${repoId} and status in ('pending', 'running') and ${letThrough(db, moveId)}`;
}

/** Makes durable what the move has written into a shard: the old rows go after that. */
export async function makeDurable(db: Database): Promise<void> {
  await db.query("make the rows of a repo durable")`
    select ${db.sql.unsafe(DURABLY)}, pg_logical_emit_message(true, 'mpackd', '')`;
}

/** Whether a repo has rows in a database that is not its home. */
export async function hasRepoRows(db: Database, repoId: string): Promise<boolean> {
  const [{ has }] = await db.query<{ has: boolean }>("look for rows of a repo")`
    select exists (select from musehub_mpacks where repo_id = ${repoId})
      or exists (select from musehub_object_refs where repo_id = ${repoId})
      or exists (select from musehub_branches where repo_id = ${repoId}) as has`;
  return has;
}

/** Whether a limit is for all repos of this one's owner together, and others live elsewhere. */
export async function isSplitting(
  catalog: Database,
  { repoId, to, hasDefault }: {
    readonly repoId: string;
    readonly to: string | null;
    /** Whether the settings limit every owner. */
    readonly hasDefault: boolean;
  },
): Promise<boolean> {
  const [{ is_splitting: isSplitting }] = await catalog.query<{ is_splitting: boolean }>(
    "look for the owner's limit",
  )`
    select (${hasDefault}::boolean or exists (
        select from mpackd_quotas q where q.kind = 'owner' and q.name = r.owner))
      and exists (select from musehub_repos o
        where o.owner = r.owner and o.repo_id <> r.repo_id and o.deleted_at is null
          and o.shard is distinct from ${to}) as is_splitting
    from musehub_repos r where r.repo_id = ${repoId}`;
  return isSplitting;
}
