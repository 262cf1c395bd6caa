/**
 * A long history in one pack, of few files.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import { concat, header } from "../mpack/mpacks.ts";
import { commitIdOf, sha256, snapshotIdOf } from "../muse/repo.ts";

const SNAPSHOTS = 1_000, FILES = 20;

/** A history with a merge in each ten commits. Two snapshots in a row differ in one file. */
export function makeLongHistory(
  commitCount: number,
): { readonly bytes: Uint8Array; readonly head: string } {
  const utf8 = new TextEncoder(), objects: Uint8Array[] = [], snapshots: Uint8Array[] = [];
  const manifest: Record<string, string> = {}, snapshotIds: string[] = [];
  for (let i = 0; i < SNAPSHOTS; i++) {
    const content = utf8.encode(`content ${i}`), id = sha256(content);
    manifest[`src/f${i % FILES}.txt`] = id;
    const snapshot_id = snapshotIdOf(manifest);
    snapshotIds.push(snapshot_id);
    objects.push(encode({ object_id: id, content }));
    snapshots.push(encode({ snapshot_id, manifest, created_at: "" }));
  }
  const commits: Uint8Array[] = [];
  let last: string | null = null, side: string | null = null;
  for (let i = 0; i < commitCount; i++) {
    const fields = {
      snapshot_id: snapshotIds[i % SNAPSHOTS],
      message: `commit ${i}`,
      committed_at: new Date(Date.UTC(2026, 0, 1, 0, 0, i)).toISOString(),
      parent_commit_id: last,
      parent2_commit_id: i % 10 === 9 ? side : null,
      author: "ada",
    };
    const commit_id = commitIdOf(fields);
    commits.push(encode({ commit_id, ...fields }));
    if (i % 10 === 5) side = commit_id;
    // The side branch begins at the commit before it.
    else last = commit_id;
  }
  const sections = Object.entries({ commits, snapshots, objects });
  const parts = sections.flatMap(([name, records]) => [
    encode(name),
    header("array", records.length).bytes,
    ...records,
  ]);
  return { bytes: concat([header("map", sections.length).bytes, ...parts]), head: last! };
}
