/**
 * What must be true at any moment, whatever has happened; and what must be true in the end.
 *
 * Nothing here knows of workers, faults or time: a snapshot is compared with what was pushed.
 *
 * @module
 */

import type { SimPack } from "../packs.ts";
import type { Snapshot, SnapshotPack } from "./snapshot.ts";

/** What the producers did. */
export interface Pushed {
  /** The packs, by {@link nameOf}. */
  readonly packs: ReadonlyMap<string, SimPack & { readonly blobKey: string; etag?: string }>;
  /** Jobs whose making was acknowledged. */
  readonly jobIds: ReadonlySet<string>;
  /** Jobs that somebody asked to cancel. */
  readonly cancelled: ReadonlySet<string>;
}

/** One pack of one repo. */
export function nameOf(pack: { readonly repoId: string; readonly mpackKey: string }): string {
  return `${pack.repoId} ${pack.mpackKey}`;
}

/** What is wrong at this moment. */
export function problemsAt(snapshot: Snapshot, pushed: Pushed): string[] {
  return [
    ...lostJobs(snapshot, pushed),
    ...wrongEnds(snapshot, pushed),
    ...leftovers(snapshot),
    ...wrongPacks(snapshot, pushed),
    ...wrongRows(snapshot, pushed),
    ...wrongCounts(snapshot),
  ];
}

/** What is wrong when every fault has stopped and the queue has been worked off. */
export function problemsInTheEnd(snapshot: Snapshot, pushed: Pushed): string[] {
  const open = snapshot.jobs.filter(({ status }) => status === "pending" || status === "running")
    .map(({ id, status, code, message }) =>
      `job ${id} is ${status} for ever; it last failed with ${code}: ${message}`
    );
  return [...open, ...problemsAt(snapshot, pushed)];
}

function lostJobs({ jobs }: Snapshot, { jobIds }: Pushed): string[] {
  const there = new Set(jobs.map(({ id }) => id));
  return [...jobIds].filter((id) => !there.has(id)).map((id) => `job ${id} is lost`);
}

/** A good pack's job is never failed, a bad one's never done, and its code is the right one. */
function wrongEnds({ jobs, endedTwice }: Snapshot, { packs, cancelled }: Pushed): string[] {
  const problems = endedTwice.map((id) => `job ${id} ended more than once`);
  for (const job of jobs) {
    const { id, status, code, message } = job;
    const pack = packs.get(nameOf(job));
    const say = (what: string) => problems.push(`job ${id} of ${job.mpackKey} ${what}`);
    if (pack === undefined) say("is of a pack that nobody pushed");
    else if (status === "done" && pack.rejection !== undefined) {
      say(`is done; it had to fail with ${pack.rejection}`);
    } else if (status === "failed" && code !== pack.rejection) {
      say(`failed with ${code} (${message}); it had to ${pack.rejection ?? "succeed"}`);
    } else if (status === "cancelled" && !cancelled.has(id)) {
      say("is cancelled; nobody asked for it");
    } else if (code === "internal" || code === "config") {
      say(`met an error that nobody foresaw: ${message}`);
    }
  }
  return problems;
}

function leftovers({ jobs, staged }: Snapshot): string[] {
  const open = new Set(
    jobs.filter(({ status }) => ["pending", "running"].includes(status)).map(({ id }) => id),
  );
  return staged.filter((id) => !open.has(id))
    .map((id) => `rows are staged for job ${id}, which has ended`);
}

/** A pack is visible exactly when a job of it is done, and just as it was pushed. */
function wrongPacks({ jobs, packs }: Snapshot, pushed: Pushed): string[] {
  const problems: string[] = [];
  const done = new Set(jobs.filter(({ status }) => status === "done").map(nameOf));
  for (const name of done) {
    if (!packs.some((pack) => nameOf(pack) === name)) {
      problems.push(`${name} is done and not visible`);
    }
  }
  for (const pack of packs) {
    const name = nameOf(pack), expected = pushed.packs.get(name);
    if (!done.has(name)) problems.push(`${name} is visible, and no job of it is done`);
    if (expected === undefined) continue;
    const { blobKey, etag, bytes, counts } = expected;
    const wanted = { blobKey, etag, sizeBytes: bytes.length, ...only(counts) };
    const found = { ...pack, ...only(pack.counts) };
    for (const [field, value] of Object.entries(wanted)) {
      const actual = found[field as keyof typeof found];
      if (actual !== value) problems.push(`${name}: ${field} is ${actual}, not ${value}`);
    }
  }
  return problems;
}

function only({ commits, snapshots, objects, tags }: SnapshotPack["counts"]) {
  return { commits, snapshots, objects, tags };
}

/** Every object of a visible pack is there, where one of the visible packs has it, and no other. */
function wrongRows({ packs, refs, objects }: Snapshot, pushed: Pushed): string[] {
  const problems: string[] = [];
  const wantedRefs = new Map<string, Set<string>>(), wantedObjects = new Map<string, Set<string>>();
  const want = (wanted: Map<string, Set<string>>, what: string, place: string) => {
    if (!wanted.has(what)) wanted.set(what, new Set());
    wanted.get(what)!.add(place);
  };
  for (const { mpackId, repoId, mpackKey } of packs) {
    for (const row of pushed.packs.get(nameOf({ repoId, mpackKey }))?.rows ?? []) {
      const { objectId, contentOffset, sizeBytes } = row;
      want(wantedRefs, `${repoId} ${objectId}`, `${mpackId} ${contentOffset} ${sizeBytes}`);
      want(wantedObjects, objectId, `mpack://${mpackKey} ${contentOffset} ${sizeBytes}`);
    }
  }
  const compare = (kind: string, wanted: typeof wantedRefs, found: [string, string][]) => {
    for (const [what, place] of found) {
      const places = wanted.get(what);
      if (places === undefined) problems.push(`${kind} ${what} is visible and was not proved`);
      else if (!places.has(place)) problems.push(`${kind} ${what} is at ${place}, where it is not`);
      wanted.delete(what);
    }
    for (const what of wanted.keys()) problems.push(`${kind} ${what} is missing`);
  };
  compare(
    "ref",
    wantedRefs,
    refs.map(([repoId, id, ...place]) => [`${repoId} ${id}`, place.join(" ")]),
  );
  compare("object", wantedObjects, objects.map(([id, ...place]) => [id, place.join(" ")]));
  return problems;
}

/** Each row was written by one job, which said so. */
function wrongCounts({ jobs, refs, objects }: Snapshot): string[] {
  const sum = (field: string) =>
    jobs.reduce(
      (total, { status, result }) => total + (status === "done" ? result?.[field] ?? NaN : 0),
      0,
    );
  const problems: string[] = [];
  for (
    const [field, rows] of [["objects_written", objects], ["object_refs_written", refs]] as const
  ) {
    const said = sum(field);
    if (said !== rows.length) {
      problems.push(`${field} of all jobs come to ${said}, there are ${rows.length} rows`);
    }
  }
  return problems;
}
