import { objectKeyOf } from "../../config/config.ts";
import { stagedIds, unwantedObjects } from "../../db/publish/materialized.ts";
import type { IndexContext, IndexJob } from "./context.ts";

/** Deletes under way at once. */
const DELETES = 16;
/** Ids per query: few, so that its answer is still fresh when the last blob is deleted. */
const QUERY_IDS = 20 * DELETES;

/** Where the ids of a refused pack's objects are. */
interface RefusedRows {
  /** How many batches were staged. */
  readonly batches: number;
  /** The ids that were not staged. */
  readonly objectIds: readonly string[];
}

/**
 * Deletes the materialized objects of a refused pack. Keeps those that the repo has refs for. Keeps
 * all while another pack of the repo is pending or running, because that may count on them; gc
 * deletes them later.
 */
export async function removeUnwanted(
  job: IndexJob,
  context: IndexContext,
  { batches, objectIds }: RefusedRows,
): Promise<void> {
  await removeIds(job, context, objectIds);
  for (let batch = 0; batch < batches; batch++) {
    await removeIds(job, context, await stagedIds(context.db, job.jobId, batch));
  }
}

async function removeIds(
  job: IndexJob,
  { db, store, config }: IndexContext,
  objectIds: readonly string[],
): Promise<void> {
  for (let at = 0; at < objectIds.length; at += QUERY_IDS) {
    const ids = objectIds.slice(at, at + QUERY_IDS);
    const unwanted = await unwantedObjects(db, job, job.repoId, ids);
    for (let from = 0; from < unwanted.length; from += DELETES) {
      const keys = unwanted.slice(from, from + DELETES)
        .map((id) => objectKeyOf(config.objectKey, job.repoId, id));
      await Promise.all(keys.map((key) => store.delete(key)));
    }
  }
}
