/**
 * What must be true at any moment, after any faults; and what must be true in the end.
 *
 * A snapshot is compared with what was pushed. Workers, faults and time do not matter here.
 *
 * @module
 */

import type { SimPack } from "../packs.ts";
import { wrongHistory } from "./history.ts";
import type { Snapshot, SnapshotPack } from "./snapshot.ts";

/** What the producers did. */
export interface Pushed {
  /** The packs, by {@link nameOf}. */
  readonly packs: ReadonlyMap<string, SimPack & { readonly blobKey: string; etag?: string }>;
  /** Jobs whose making was acknowledged. */
  readonly jobIds: ReadonlySet<string>;
  /** Jobs whose cancellation was requested. */
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
    ...wrongHistory(
      snapshot,
      (pack) => pushed.packs.get(nameOf(pack))?.commitIds ?? [],
    ),
  ];
}

/** What is wrong when every fault has stopped and the queue has been worked off. */
export function problemsInTheEnd(snapshot: Snapshot, pushed: Pushed): string[] {
  const open = snapshot.jobs.filter(({ status }) => status === "pending" || status === "running")
    .map(({ id, status, code, message }) =>
      `job ${id} is ${status} without end; it last failed with ${code}: ${message}`
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
    if (pack === undefined) say("is of a pack that was not pushed");
    else if (status === "done" && pack.rejection !== undefined) {
      say(`is done; it had to fail with ${pack.rejection}`);
    } else if (status === "failed" && code !== pack.rejection) {
      say(`failed with ${code} (${message}); it had to ${pack.rejection ?? "succeed"}`);
    } else if (status === "cancelled" && !cancelled.has(id)) {
      say("is cancelled without a request");
    } else if (code === "internal" || code === "config") {
      say(`met an unexpected error: ${message}`);
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

/**
 * Every object of a visible pack is there, where one of the visible packs has it. No other ref is
 * there; of other objects those of good packs may be, which are written before the publish.
 */
function wrongRows({ packs, refs, objects }: Snapshot, pushed: Pushed): string[] {
  const problems: string[] = [];
  const wantedRefs = new Places(), wantedObjects = new Places(), provedObjects = new Places();
  for (const { mpackId, repoId, mpackKey } of packs) {
    for (const row of pushed.packs.get(nameOf({ repoId, mpackKey }))?.rows ?? []) {
      const { objectId, contentOffset, sizeBytes } = row;
      wantedRefs.add(`${repoId} ${objectId}`, `${mpackId} ${contentOffset} ${sizeBytes}`);
      wantedObjects.add(objectId, `mpack://${mpackKey} ${contentOffset} ${sizeBytes}`);
    }
  }
  for (const { rejection, rows, mpackKey } of pushed.packs.values()) {
    if (rejection !== undefined) continue;
    for (const { objectId, contentOffset, sizeBytes } of rows) {
      provedObjects.add(objectId, `mpack://${mpackKey} ${contentOffset} ${sizeBytes}`);
    }
  }
  const compare = (kind: string, wanted: Places, allowed: Places, found: [string, string][]) => {
    const missing = new Set(wanted.keys());
    for (const [what, place] of found) {
      const places = allowed.get(what);
      if (places === undefined) problems.push(`${kind} ${what} is visible and was not proved`);
      else if (!places.has(place)) problems.push(`${kind} ${what} is at ${place}, where it is not`);
      missing.delete(what);
    }
    for (const what of missing) problems.push(`${kind} ${what} is missing`);
  };
  const place = ([what, ...where]: readonly (string | number)[]): [string, string] => [
    `${what}`,
    where.join(" "),
  ];
  compare(
    "ref",
    wantedRefs,
    wantedRefs,
    refs.map(([repoId, id, ...where]) => place([`${repoId} ${id}`, ...where])),
  );
  compare("object", wantedObjects, provedObjects, objects.map(place));
  return problems;
}

/** The places where each of some objects may be. */
class Places extends Map<string, Set<string>> {
  add(what: string, place: string): void {
    if (!this.has(what)) this.set(what, new Set());
    this.get(what)!.add(place);
  }
}

/** Each row was written by one job, which counted it. */
function wrongCounts({ jobs, refs, objects }: Snapshot): string[] {
  const problems: string[] = [];
  const compare = (
    field: string,
    rows: number,
    before: (job: Snapshot["jobs"][number]) => number,
  ) => {
    const said = jobs.reduce(
      (sum, job) => sum + (job.status === "done" ? job.result?.[field] ?? NaN : before(job)),
      0,
    );
    if (said !== rows) {
      problems.push(`${field} of all jobs come to ${said}, there are ${rows} rows`);
    }
  };
  compare("objects_written", objects.length, ({ objectsWritten }) => objectsWritten ?? 0);
  compare("object_refs_written", refs.length, () => 0);
  return problems;
}
