/**
 * Which packs an audit checks, and which it has found valid.
 *
 * @module
 */

import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import type { LocatedMpack, MarkOptions } from "./damaged_refs.ts";

/** Counting the refs of a large repo takes minutes. */
const COUNT_DEADLINE_MS = 10 * 60_000;

/** What to audit. */
export interface AuditScope {
  /** Only the packs of this repo. */
  readonly repoId?: string;
  /** Only the packs of this key. */
  readonly mpackKey?: string;
  /** Only this percentage of the packs, drawn at random, at least one. Above 0, up to 100. */
  readonly samplePercent?: number;
}

/** One pack to audit. */
export interface MpackToAudit extends LocatedMpack {
  /** OWNER/SLUG of its repo. */
  readonly repo: string;
  /** The pack's key. */
  readonly mpackKey: string;
  /** Key of its blob in the store. */
  readonly blobKey: string;
  /** Length in bytes. */
  readonly sizeBytes: number;
  /** How many of the repo's refs point into it. */
  readonly refs: number;
}

/** A new audit, or one that was interrupted. */
export interface BegunAudit {
  readonly startedAt: Date;
  /** The packs still to check, in that order. */
  readonly mpackIds: readonly number[];
  /** How many packs it has found valid. */
  readonly packsChecked: number;
}

/** Begins an audit, or continues one of this id that has not ended. */
export async function beginAudit(
  db: Database,
  auditId: string,
  { repoId, mpackKey, samplePercent, isDryRun = false }:
    & MarkOptions
    & {
      readonly [K in keyof AuditScope]: AuditScope[K] | null;
    },
): Promise<BegunAudit> {
  const [audit] = isDryRun
    ? [{ seed: crypto.randomUUID(), started_at: new Date() }]
    : await db.build(
      "begin an audit",
      (kysely, sql) =>
        kysely.insertInto("mpackd_audits")
          .values({ audit_id: auditId, seed: crypto.randomUUID() })
          // An update that changes nothing, because "do nothing" would return no row.
          .onConflict((conflict) =>
            conflict.column("audit_id").doUpdateSet({ seed: sql`mpackd_audits.seed` })
          )
          .returning(["seed", "started_at"]),
    );
  const rows = await db.build("list the packs to audit", (kysely, sql) => {
    const sampleSize = sql<number>`ceil(count(*) * ${samplePercent ?? 100}::float8 / 100)`.as(
      "packs",
    );
    return kysely
      .with(
        (cte) => cte("packs").materialized(),
        (kysely) =>
          kysely.selectFrom("musehub_mpacks as p")
            .select(["p.mpack_id", "p.repo_id"])
            .$if(typeof repoId === "string", (packs) => packs.where("p.repo_id", "=", repoId!))
            .$if(
              typeof mpackKey === "string",
              (packs) => packs.where("p.mpack_key", "=", mpackKey!),
            )
            .where(({ not, exists, selectFrom }) =>
              not(exists(
                selectFrom("musehub_repos as r")
                  .select("r.repo_id")
                  .whereRef("r.repo_id", "=", "p.repo_id")
                  .where("r.deleted_at", "is not", null),
              ))
            ),
      )
      .with(
        (cte) => cte("chosen").materialized(),
        (kysely) =>
          kysely.selectFrom("packs")
            .selectAll()
            .orderBy(sql`md5(${audit.seed} || mpack_id)`)
            .limit((eb) => eb.selectFrom("packs").select(sampleSize)),
      )
      .selectFrom("chosen as c")
      .leftJoin(
        "mpackd_audited_packs as a",
        // A dry run goes on where no other has stopped.
        (join) =>
          join.on("a.audit_id", "=", isDryRun ? "" : auditId).onRef(
            "a.mpack_id",
            "=",
            "c.mpack_id",
          ),
      )
      .select(["c.mpack_id as id", "a.mpack_id as audited"])
      .orderBy("c.repo_id").orderBy("c.mpack_id");
  });
  const left = rows.filter(({ audited }) => audited === null);
  return {
    startedAt: audit.started_at,
    mpackIds: left.map(({ id }) => id),
    packsChecked: rows.length - left.length,
  };
}

/** Reads the rows of these packs as they are now, ordered by repo and pack. */
export function readAuditPacks(
  db: Database,
  mpackIds: readonly number[],
): Promise<MpackToAudit[]> {
  return db.build(
    "read the packs to audit",
    (kysely, sql) => {
      const isAsked = sql<boolean>`mpack_id = any(${arrayLiteral(mpackIds)}::bigint[])`;
      return kysely
        .with(
          (cte) => cte("packs").materialized(),
          (kysely) => kysely.selectFrom("musehub_mpacks").selectAll().where(isAsked),
        )
        // One pass over the repos' refs. An index on mpack_id would cost a write for each object of
        // each publish.
        .with(
          (cte) => cte("counts").materialized(),
          (kysely) =>
            kysely.selectFrom("musehub_object_refs")
              .select(["mpack_id", ({ fn }) => fn.countAll<number>().as("refs")])
              .where("repo_id", "in", (eb) => eb.selectFrom("packs").select("repo_id"))
              .where(isAsked)
              .groupBy("mpack_id"),
        )
        .selectFrom("packs as p")
        .leftJoin("musehub_repos as r", "r.repo_id", "p.repo_id")
        .leftJoin("counts as c", "c.mpack_id", "p.mpack_id")
        .select([
          "p.mpack_id as mpackId",
          "p.repo_id as repoId",
          "p.mpack_key as mpackKey",
          "p.blob_key as blobKey",
          "p.etag",
          "p.size_bytes as sizeBytes",
          sql<string>`coalesce(r.owner || '/' || r.slug, p.repo_id)`.as("repo"),
          sql<number>`coalesce(c.refs, 0)`.as("refs"),
        ])
        .where("p.blob_key", "is not", null)
        .where("p.etag", "is not", null)
        .orderBy("p.repo_id").orderBy("p.mpack_id")
        .$narrowType<{ blobKey: string; etag: string; sizeBytes: number }>();
    },
    { deadlineMs: COUNT_DEADLINE_MS },
  );
}

/** Records that an audit has found a pack valid. */
export async function recordValid(db: Database, auditId: string, mpackId: number): Promise<void> {
  await db.build("record an audited pack", (kysely) =>
    kysely.insertInto("mpackd_audited_packs")
      .values({ audit_id: auditId, mpack_id: mpackId })
      .onConflict((conflict) => conflict.doNothing()));
}

/** Deletes what an audit has recorded, because it has ended or shall start over. */
export async function endAudit(db: Database, auditId: string): Promise<void> {
  await db.build("end an audit", (kysely) =>
    kysely
      .with("packs", (kysely) =>
        kysely.deleteFrom("mpackd_audited_packs").where("audit_id", "=", auditId))
      .deleteFrom("mpackd_audits")
      .where("audit_id", "=", auditId));
}

/** An audit that has ended. */
export interface FinishedAudit {
  readonly startedAt: Date;
  readonly finishedAt: Date;
  /** The repo it was about; null for all. */
  readonly repoId: string | null;
  /** Mpacks that it read. */
  readonly mpacks: number;
  /** Those with findings. */
  readonly damaged: number;
}

/** Records that an audit has ended, so that an operator knows when the last one was. */
export async function recordFinished(
  db: Database,
  auditId: string,
  { startedAt, repoId, mpacks, damaged }: Omit<FinishedAudit, "finishedAt">,
): Promise<void> {
  await db.query("record an audit")`
    insert into mpackd_finished_audits (audit_id, started_at, repo_id, mpacks, damaged)
    values (${auditId}, ${startedAt.toISOString()}::timestamptz, ${repoId}, ${mpacks}::bigint,
      ${damaged}::bigint)`;
}

/** Lists the last audits that have ended, newest first. */
export function listFinished(
  db: Database,
  { limit }: { readonly limit: number },
): Promise<FinishedAudit[]> {
  return db.query<FinishedAudit>("list audits")`
    select started_at as "startedAt", finished_at as "finishedAt", repo_id as "repoId", mpacks,
      damaged
    from mpackd_finished_audits order by finished_at desc limit ${limit}::bigint`;
}

/** Merges the audits of several shards, the last first. */
export function mergeFinished(
  lists: readonly (readonly FinishedAudit[])[],
  limit: number,
): FinishedAudit[] {
  return lists.flat().sort((a, b) => b.finishedAt.getTime() - a.finishedAt.getTime())
    .slice(0, limit);
}
