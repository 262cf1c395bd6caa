/**
 * Plans how to read many objects with few requests. Pure: locations in, batches out.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";

/** Non-empty contents of one blob that one request reads, in byte order. */
export type Run = readonly ObjectLocation[];

/** Objects that are read together. */
export interface ReadBatch {
  /** The objects in the order of delivery. */
  readonly objects: readonly ObjectLocation[];
  /** The requests that read them. */
  readonly runs: readonly Run[];
  /** Whether they are read into memory first. Otherwise the only run is streamed. */
  readonly isBuffered: boolean;
}

export interface PlanOptions {
  /** Deliver in the order given, or in byte order. */
  readonly order: "asked" | "stored";
  /** Neighbours at most this far apart are read by one request. */
  readonly maxGapBytes: number;
  /** The most content bytes in memory per batch. */
  readonly maxBatchBytes: number;
  /** In byte order: the most content bytes that one request reads. Default: any number. */
  readonly maxRunBytes?: number;
}

/** Plans the reading of some thousands of objects. An id may occur twice. */
export function planReads(
  locations: readonly ObjectLocation[],
  options: PlanOptions,
): ReadBatch[] {
  return options.order === "stored"
    ? planStored(locations, options)
    : planAsked(locations, options);
}

/** Plans requests in byte order. Empty contents need none, and are left out. */
export function storedRuns(
  locations: readonly ObjectLocation[],
  { maxGapBytes, maxRunBytes = Infinity }: Pick<PlanOptions, "maxGapBytes" | "maxRunBytes">,
): Run[] {
  return runsOf(locations, maxGapBytes).flatMap((run) => cutRun(run, maxRunBytes));
}

/** Each run is a batch. A run that is too long for memory is streamed. */
function planStored(locations: readonly ObjectLocation[], options: PlanOptions): ReadBatch[] {
  const { maxBatchBytes } = options;
  const empty = locations.filter(({ sizeBytes }) => sizeBytes === 0);
  const batches = storedRuns(locations, options).map((run) => ({
    objects: run,
    runs: [run],
    isBuffered: lengthOf(run) <= maxBatchBytes,
  }));
  return empty.length === 0
    ? batches
    : [{ objects: empty, runs: [], isBuffered: true }, ...batches];
}

/** A batch holds as many consecutive objects as fit in memory, read in byte order. */
function planAsked(locations: readonly ObjectLocation[], options: PlanOptions): ReadBatch[] {
  const { maxGapBytes, maxBatchBytes } = options;
  const batches: ReadBatch[] = [];
  let objects: ObjectLocation[] = [], sizeBytes = 0;
  const close = () => {
    if (objects.length === 0) return;
    batches.push({ objects, runs: runsOf(objects, maxGapBytes), isBuffered: true });
    objects = [];
    sizeBytes = 0;
  };
  for (const location of locations) {
    if (sizeBytes + location.sizeBytes > maxBatchBytes) close();
    if (location.sizeBytes > maxBatchBytes) {
      batches.push({ objects: [location], runs: [[location]], isBuffered: false });
      continue;
    }
    objects.push(location);
    sizeBytes += location.sizeBytes;
  }
  close();
  return batches;
}

/** Groups the contents by blob and position, each once. A gap that is too wide ends a run. */
function runsOf(locations: readonly ObjectLocation[], maxGapBytes: number): Run[] {
  const sorted = locations.filter(({ sizeBytes }) => sizeBytes > 0).sort(byPosition);
  const runs: ObjectLocation[][] = [];
  let last: ObjectLocation | undefined;
  for (const location of sorted) {
    if (last !== undefined && byPosition(last, location) === 0) continue;
    if (last !== undefined && isNeighbour(last, location, maxGapBytes)) {
      runs[runs.length - 1].push(location);
    } else runs.push([location]);
    last = location;
  }
  return runs;
}

/** Whether one request may go on from one content to the other. */
function isNeighbour(
  before: ObjectLocation,
  after: ObjectLocation,
  maxGapBytes: number,
): boolean {
  const gapBytes = gapOf(before, after);
  return before.blobKey === after.blobKey && before.etag === after.etag && gapBytes >= 0 &&
    gapBytes <= maxGapBytes;
}

/** Objects in the order asked: one request's, or some that do not lie in that order. */
export interface Stretch {
  readonly objects: readonly ObjectLocation[];
  readonly isRun: boolean;
}

/** A shorter run is not worth a request of its own. */
const MIN_RUN_OBJECTS = 8;

/** Cuts objects where their order is not that of their bytes. Empty and encoded ones are in no run. */
export function stretchesOf(
  locations: readonly ObjectLocation[],
  { maxGapBytes, maxRunBytes = Infinity }: Pick<PlanOptions, "maxGapBytes" | "maxRunBytes">,
): Stretch[] {
  const stretches: Stretch[] = [];
  let run: ObjectLocation[] = [], others: ObjectLocation[] = [];
  const endOthers = () => {
    if (others.length > 0) stretches.push({ objects: others, isRun: false });
    others = [];
  };
  const endRun = () => {
    if (run.length < MIN_RUN_OBJECTS) others = others.concat(run);
    else {
      endOthers();
      for (const objects of cutRun(run, maxRunBytes)) stretches.push({ objects, isRun: true });
    }
    run = [];
  };
  for (const location of locations) {
    const { encoding, sizeBytes } = location, last = run.at(-1);
    const isPlain = encoding === null && sizeBytes > 0;
    if (!isPlain || last !== undefined && !isNeighbour(last, location, maxGapBytes)) endRun();
    if (isPlain) run.push(location);
    else others.push(location);
  }
  endRun();
  endOthers();
  return stretches;
}

/** The run in parts of at most `maxBytes`, or of one object. */
function cutRun(run: Run, maxBytes: number): Run[] {
  const parts: ObjectLocation[][] = [[]];
  let sizeBytes = 0;
  for (const location of run) {
    if (sizeBytes > 0 && sizeBytes + location.sizeBytes > maxBytes) {
      parts.push([]);
      sizeBytes = 0;
    }
    parts[parts.length - 1].push(location);
    sizeBytes += location.sizeBytes;
  }
  return parts;
}

/** Sorts contents by blob, and by the order of their bytes in it. */
export function byPosition(one: ObjectLocation, other: ObjectLocation): number {
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
