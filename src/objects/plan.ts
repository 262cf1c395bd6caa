/**
 * How to read many objects with few requests. Pure: locations in, batches out.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";

/** Contents of one blob that one request reads: in the order of their bytes, none of them empty. */
export type Run = readonly ObjectLocation[];

/** What is read as one piece of work. */
export interface ReadBatch {
  /** The objects in the order in which they are handed out. */
  readonly objects: readonly ObjectLocation[];
  /** The requests that bring them. */
  readonly runs: readonly Run[];
  /** Whether they are read into memory first; else they are handed out as the one run goes by. */
  readonly isGathered: boolean;
}

/** How much to merge and to hold. */
export interface PlanOptions {
  /** Hand out in the order given, or in the order of the bytes. */
  readonly order: "asked" | "stored";
  /** Neighbours so far apart, in bytes, are still read by one request. */
  readonly maxGapBytes: number;
  /** Contents gathered in memory at once, in bytes. */
  readonly maxBatchBytes: number;
}

/** Plans the reading of some thousands of objects. An id may be there twice. */
export function planReads(
  locations: readonly ObjectLocation[],
  options: PlanOptions,
): ReadBatch[] {
  return options.order === "stored"
    ? planStored(locations, options)
    : planAsked(locations, options);
}

/** Each run is a batch of its own; a long one is streamed, whatever its length. */
function planStored(locations: readonly ObjectLocation[], options: PlanOptions): ReadBatch[] {
  const { maxGapBytes, maxBatchBytes } = options;
  const empty = locations.filter(({ sizeBytes }) => sizeBytes === 0);
  const batches = runsOf(locations, maxGapBytes).map((run) => ({
    objects: run,
    runs: [run],
    isGathered: lengthOf(run) <= maxBatchBytes,
  }));
  return empty.length === 0
    ? batches
    : [{ objects: empty, runs: [], isGathered: true }, ...batches];
}

/** As many objects in a row as memory may hold are a batch, read in the best order. */
function planAsked(locations: readonly ObjectLocation[], options: PlanOptions): ReadBatch[] {
  const { maxGapBytes, maxBatchBytes } = options;
  const batches: ReadBatch[] = [];
  let objects: ObjectLocation[] = [], sizeBytes = 0;
  const close = () => {
    if (objects.length === 0) return;
    batches.push({ objects, runs: runsOf(objects, maxGapBytes), isGathered: true });
    objects = [];
    sizeBytes = 0;
  };
  for (const location of locations) {
    if (sizeBytes + location.sizeBytes > maxBatchBytes) close();
    if (location.sizeBytes > maxBatchBytes) {
      batches.push({ objects: [location], runs: [[location]], isGathered: false });
      continue;
    }
    objects.push(location);
    sizeBytes += location.sizeBytes;
  }
  close();
  return batches;
}

/** The contents by blob and place, each once, cut where a gap is too wide to be read over. */
function runsOf(locations: readonly ObjectLocation[], maxGapBytes: number): Run[] {
  const sorted = locations.filter(({ sizeBytes }) => sizeBytes > 0).sort(byPlace);
  const runs: ObjectLocation[][] = [];
  let last: ObjectLocation | undefined;
  for (const location of sorted) {
    if (last !== undefined && byPlace(last, location) === 0) continue;
    const isNext = last !== undefined && last.blobKey === location.blobKey &&
      last.etag === location.etag && gapOf(last, location) >= 0 &&
      gapOf(last, location) <= maxGapBytes;
    if (isNext) runs[runs.length - 1].push(location);
    else runs.push([location]);
    last = location;
  }
  return runs;
}

function byPlace(one: ObjectLocation, other: ObjectLocation): number {
  if (one.blobKey !== other.blobKey) return one.blobKey < other.blobKey ? -1 : 1;
  if (one.contentOffset !== other.contentOffset) return one.contentOffset - other.contentOffset;
  return one.objectId < other.objectId ? -1 : one.objectId === other.objectId ? 0 : 1;
}

function gapOf(before: ObjectLocation, after: ObjectLocation): number {
  return after.contentOffset - before.contentOffset - before.sizeBytes;
}

function lengthOf(run: Run): number {
  return run.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
