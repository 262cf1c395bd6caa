/**
 * Takes back what a refused pack has materialized.
 *
 * @module
 */

import { type Config, objectKeyOf } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import type { Lease } from "../../db/lease.ts";
import { stagedIds, unwantedObjects } from "../../db/publish/materialized.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";

/** Deletes under way at once. */
const DELETES = 16;

/** Where the ids of the refused pack's objects are. */
export interface RefusedRows {
  /** How many batches were staged. */
  readonly batches: number;
  /** Those that were not. */
  readonly objectIds: readonly string[];
}

/**
 * Deletes the blobs of a refused pack's objects, but those that the repo has refs for, and none
 * while another pack of the repo is open, which may count on them: those are left to `gc`.
 */
export async function removeUnwanted(
  job: Lease & { readonly repoId: string },
  parts: { readonly db: Database; readonly store: BlobStore; readonly config: Config },
  rows: RefusedRows,
): Promise<void> {
  await removeIds(job, parts, rows.objectIds);
  for (let batch = 0; batch < rows.batches; batch++) {
    await removeIds(job, parts, await stagedIds(parts.db, job.jobId, batch));
  }
}

async function removeIds(
  job: Lease & { readonly repoId: string },
  { db, store, config }: { db: Database; store: BlobStore; config: Config },
  objectIds: readonly string[],
): Promise<void> {
  // Small groups, so that the answer is fresh when it is acted on.
  const groupIds = 20 * DELETES;
  for (let at = 0; at < objectIds.length; at += groupIds) {
    const group = objectIds.slice(at, at + groupIds);
    const unwanted = await unwantedObjects(db, job, job.repoId, group);
    for (let from = 0; from < unwanted.length; from += DELETES) {
      const some = unwanted.slice(from, from + DELETES);
      await Promise.all(
        some.map((id) => store.delete(objectKeyOf(config.objectKey, job.repoId, id))),
      );
    }
  }
}
