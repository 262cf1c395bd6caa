/**
 * The whole database at one moment. It is read in one statement: two could see half of a publish.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";
import { execute } from "../../../src/db/client/execute.ts";

/** What there is. */
export interface Snapshot {
  /** Every job. */
  readonly jobs: readonly SnapshotJob[];
  /** Every published pack. */
  readonly packs: readonly SnapshotPack[];
  /** Repo, object, pack, offset, size. */
  readonly refs: readonly [string, string, number, number, number][];
  /** Object, storage URI, offset, size. */
  readonly objects: readonly [string, string, number, number][];
  /** Repo, commit, pack. */
  readonly commits: readonly [string, string, number][];
  /** Repo, commit, generation, parents. */
  readonly graph: readonly [string, string, number | null, readonly string[]][];
  /** Repo, branch, head. */
  readonly heads: readonly [string, string, string][];
  /** Jobs that have staged rows. */
  readonly staged: readonly string[];
  /** Jobs that ended more than once. */
  readonly endedTwice: readonly string[];
}

/** A job. */
export interface SnapshotJob {
  /** Its id. */
  readonly id: string;
  /** Its repo. */
  readonly repoId: string;
  /** Its pack. */
  readonly mpackKey: string;
  /** Its status. */
  readonly status: string;
  /** The code of its last failure. */
  readonly code: string | null;
  /** What its last failure said. */
  readonly message: string | null;
  /** What it achieved. */
  readonly result:
    | Record<string, number> & {
      readonly branch?: { readonly name: string; readonly head: string; readonly moved: boolean };
    }
    | null;
  /** Objects that it has written before its publish. */
  readonly objectsWritten: number | null;
}

/** A published pack: a row of `musehub_mpacks` without its time. */
export interface SnapshotPack {
  /** Its number. */
  readonly mpackId: number;
  /** Its repo. */
  readonly repoId: string;
  /** Its name. */
  readonly mpackKey: string;
  /** Key of its blob. */
  readonly blobKey: string;
  /** Which version of it was read. */
  readonly etag: string;
  /** Its length. */
  readonly sizeBytes: number;
  /** What it holds. */
  readonly counts: Record<"commits" | "snapshots" | "objects" | "tags", number>;
}

/** Reads everything; for small databases. */
export async function takeSnapshot(db: Database): Promise<Snapshot> {
  const query = db.sql<Snapshot[]>`
    select
      (select coalesce(json_agg(json_build_object('id', job_id, 'repoId', repo_id,
          'mpackKey', payload->>'mpack_key', 'status', status, 'code', last_error->>'code',
          'message', last_error->>'message', 'result', result,
          'objectsWritten', objects_written)), '[]')
        from musehub_background_jobs) as jobs,
      (select coalesce(json_agg(json_build_object('mpackId', mpack_id, 'repoId', repo_id,
          'mpackKey', mpack_key, 'blobKey', blob_key, 'etag', etag, 'sizeBytes', size_bytes,
          'counts', json_build_object('commits', commits, 'snapshots', snapshots,
            'objects', objects, 'tags', tags))), '[]')
        from musehub_mpacks) as packs,
      (select coalesce(json_agg(json_build_array(
          repo_id, object_id, mpack_id, content_offset, size_bytes)), '[]')
        from musehub_object_refs) as refs,
      (select coalesce(json_agg(json_build_array(
          object_id, storage_uri, content_offset, size_bytes)), '[]')
        from musehub_objects) as objects,
      (select coalesce(json_agg(json_build_array(repo_id, commit_id, mpack_id)), '[]')
        from musehub_commit_refs) as commits,
      (select coalesce(json_agg(json_build_array(repo_id, commit_id, generation, parent_ids)), '[]')
        from musehub_commit_graph) as graph,
      (select coalesce(json_agg(json_build_array(repo_id, name, head_commit_id)), '[]')
        from musehub_branches) as heads,
      (select coalesce(json_agg(distinct job_id), '[]') from (
        select job_id from mpack_staged_objects
        union select job_id from mpack_staged_records) as rows) as staged,
      (select coalesce(json_agg(job_id), '[]') from (
        select job_id from job_ends group by job_id having sum(ends) > 1) twice) as "endedTwice"`;
  const [row] = await execute(db, query, { action: "look at everything" });
  return row;
}
