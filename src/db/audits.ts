/**
 * Which packs an audit has to look at, and which of them it has found sound.
 *
 * @module
 */

import { arrayLiteral } from "./client/array_literal.ts";
import type { LocatedMpack } from "./damaged_refs.ts";
import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** Counting the refs of a large repo takes a while. */
const COUNT_DEADLINE_MS = 10 * 60_000;

/** What to audit. */
export interface AuditScope {
  /** Only the packs of this repo. */
  readonly repoId?: string;
  /** Only the packs of this key. */
  readonly mpackKey?: string;
  /** Only so many percent of them, chosen at random, at least one; above 0, up to 100. */
  readonly samplePercent?: number;
}

/** One pack to be audited. */
export interface MpackToAudit extends LocatedMpack {
  /** Its repo as people know it. */
  readonly repo: string;
  /** Its name. */
  readonly mpackKey: string;
  /** Its key in the store. */
  readonly blobKey: string;
  /** Its length in bytes. */
  readonly sizeBytes: number;
  /** How many of the repo's refs point into it. */
  readonly refs: number;
}

/** An audit begun now, or one that was interrupted. */
export interface BegunAudit {
  /** When it began. */
  readonly startedAt: Date;
  /** The packs that are left, in the order to look at them. */
  readonly mpackIds: readonly number[];
  /** How many packs it has found sound already. */
  readonly packsChecked: number;
}

/** Begins an audit, or goes on with one of this id that has not ended. */
export async function beginAudit(
  database: Database,
  auditId: string,
  { repoId = null, mpackKey = null, samplePercent = 100 }: {
    readonly [K in keyof AuditScope]: AuditScope[K] | null;
  },
): Promise<BegunAudit> {
  const { sql } = database;
  const seed = crypto.randomUUID();
  const [audit] = await execute(
    database,
    sql<{ seed: string; startedAt: Date }[]>`
      insert into mpackd_audits (audit_id, seed) values (${auditId}, ${seed})
      on conflict (audit_id) do update set seed = mpackd_audits.seed
      returning seed, started_at as "startedAt"`,
    { action: "begin an audit" },
  );
  const rows = await execute(
    database,
    sql<{ id: number; isChecked: boolean }[]>`
      with packs as materialized (
        select p.mpack_id, p.repo_id from musehub_mpacks p
        where (${repoId}::text is null or p.repo_id = ${repoId}::text)
          and (${mpackKey}::text is null or p.mpack_key = ${mpackKey}::text)
          and not exists (
            select from musehub_repos r where r.repo_id = p.repo_id and r.deleted_at is not null)
      ), chosen as materialized (
        select * from packs order by md5(${audit.seed} || mpack_id)
        limit (select ceil(count(*) * ${samplePercent}::float8 / 100) from packs)
      )
      select c.mpack_id as id, a.mpack_id is not null as "isChecked"
      from chosen c
      left join mpackd_audited_packs a on a.audit_id = ${auditId} and a.mpack_id = c.mpack_id
      order by c.repo_id, c.mpack_id`,
    { action: "list the packs to audit" },
  );
  return {
    startedAt: audit.startedAt,
    mpackIds: rows.filter(({ isChecked }) => !isChecked).map(({ id }) => id),
    packsChecked: rows.filter(({ isChecked }) => isChecked).length,
  };
}

/** The rows of these packs, as they are now, in the order of repo and pack. */
export async function readAuditPacks(
  database: Database,
  mpackIds: readonly number[],
): Promise<MpackToAudit[]> {
  const { sql } = database;
  const ids = sql`${arrayLiteral(mpackIds)}::bigint[]`;
  return [
    ...await execute(
      database,
      // The refs are counted in one pass over the repos' refs: an index on mpack_id would be one
      // more write for every object of every publish.
      sql<MpackToAudit[]>`
        with packs as materialized (
          select * from musehub_mpacks where mpack_id = any(${ids})
        ), pointing as materialized (
          select mpack_id, count(*)::bigint as refs from musehub_object_refs
          where repo_id in (select repo_id from packs) and mpack_id = any(${ids})
          group by mpack_id
        )
        select p.mpack_id as "mpackId", p.repo_id as "repoId", p.mpack_key as "mpackKey",
          p.blob_key as "blobKey", p.etag, p.size_bytes as "sizeBytes",
          coalesce(r.owner || '/' || r.slug, p.repo_id) as repo, coalesce(n.refs, 0) as refs
        from packs p
        left join musehub_repos r on r.repo_id = p.repo_id
        left join pointing n on n.mpack_id = p.mpack_id
        where p.blob_key is not null and p.etag is not null
        order by p.repo_id, p.mpack_id`,
      { action: "read the packs to audit", deadlineMs: COUNT_DEADLINE_MS },
    ),
  ];
}

/** Notes that an audit has found a pack sound. */
export async function noteSound(
  database: Database,
  auditId: string,
  mpackId: number,
): Promise<void> {
  await execute(
    database,
    database.sql`
      insert into mpackd_audited_packs (audit_id, mpack_id) values (${auditId}, ${mpackId}::bigint)
      on conflict do nothing`,
    { action: "note an audited pack" },
  );
}

/** Forgets an audit: it has ended, or shall start over. */
export async function endAudit(database: Database, auditId: string): Promise<void> {
  await execute(
    database,
    database.sql`
      with packs as (delete from mpackd_audited_packs where audit_id = ${auditId})
      delete from mpackd_audits where audit_id = ${auditId}`,
    { action: "end an audit" },
  );
}
