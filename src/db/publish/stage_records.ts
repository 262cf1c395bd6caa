/**
 * Records of history before their proof.
 *
 * @module
 */

import type { Database } from "../client/database.ts";
import { CancelledError } from "../../errors.ts";
import { type Lease, leaseLost } from "../lease.ts";
import type { GraphRow } from "./record_rows.ts";

/** Rows of the graph are staged from this batch on, where no checkpoint counts. */
const GRAPH_FROM = 2 ** 30;

/** What a check has to know of staged records. */
export interface StagedRecords {
  readonly commits: readonly {
    readonly id: string;
    readonly parents: readonly string[];
    readonly snapshot: string;
    readonly offset: number;
    readonly time: string | null;
  }[];
  readonly snapshots: readonly { readonly id: string; readonly depth: number }[];
  /** The commits that tags name. */
  readonly tags: readonly string[];
}

/** Reads the staged records of some batches, `endBatch` not among them, in the order of the pack. */
export async function readStagedRecords(
  db: Database,
  jobId: string,
  { firstBatch, endBatch }: { readonly firstBatch: number; readonly endBatch: number },
): Promise<StagedRecords[]> {
  const rows = await db.query<Partial<StagedRecords>>("read staged records")`
    select
      (select json_agg(json_build_object('id', c->'commit_id', 'parents', c->'parent_ids',
          'snapshot', c->'snapshot_id', 'offset', c->'record_offset',
          'time', c->'committed_time'))
        from jsonb_array_elements(r.commits) as c) as commits,
      (select json_agg(json_build_object('id', s->'snapshot_id', 'depth', s->'delta_depth'))
        from jsonb_array_elements(r.snapshots) as s) as snapshots,
      (select json_agg(t->'commit_id') from jsonb_array_elements(r.tags) as t) as tags
    from mpack_staged_records r
    where r.job_id = ${jobId} and r.batch >= ${firstBatch}::integer
      and r.batch < ${endBatch}::integer
    order by r.batch`;
  return rows.map(({ commits, snapshots, tags }) => ({
    commits: commits ?? [],
    snapshots: snapshots ?? [],
    tags: tags ?? [],
  }));
}

/** Which of the first `batches` batches of a job have records. */
export async function recordBatches(
  db: Database,
  jobId: string,
  batches: number,
): Promise<number[]> {
  const rows = await db.query<{ batch: number }>("look for staged records")`
    select batch from mpack_staged_records
    where job_id = ${jobId} and batch < ${batches}::integer order by batch`;
  return rows.map(({ batch }) => batch);
}

/**
 * Stages rows of the graph of commits, which are known only after the whole pack.
 *
 * @param part Its number among these, from 0.
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 * @throws {CancelledError} If the job is to be cancelled.
 */
export async function stageGraph(
  db: Database,
  lease: Lease,
  { part, rows }: { readonly part: number; readonly rows: readonly GraphRow[] },
): Promise<void> {
  const [row] = await db.query<{ cancelRequested: boolean }>("stage a graph")`
    select * from mpackd_stage_graph_1(${lease.jobId}, ${lease.fence}::bigint,
      ${GRAPH_FROM + part}::integer, ${JSON.stringify(rows)}::text::jsonb)`;
  checkHeld("stage a graph", lease, row);
}

/**
 * Notes the records of a staged batch in the tables that all repos share, in an autocommit statement
 * of its own, as objects are written.
 *
 * @throws {LeaseLostError} If the job is another worker's now; nothing was written.
 * @throws {CancelledError} If the job is to be cancelled.
 */
export async function writeRecords(
  db: Database,
  lease: Lease,
  { batch, storageUri }: { readonly batch: number; readonly storageUri: string },
): Promise<void> {
  const [row] = await db.query<{ cancelRequested: boolean }>("write records")`
    select * from mpackd_write_records_1(
      ${lease.jobId}, ${lease.fence}::bigint, ${storageUri}, ${batch}::integer)`;
  checkHeld("write records", lease, row);
}

function checkHeld(
  action: string,
  lease: Lease,
  row: { readonly cancelRequested: boolean } | undefined,
): void {
  if (row === undefined) throw leaseLost(action, lease);
  if (row.cancelRequested) throw new CancelledError("Cannot go on: the job was cancelled");
}
