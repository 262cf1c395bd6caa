/**
 * Reads a pack that lies in a file: checks the ids of its records, and finds what a commit needs.
 *
 * @module
 */

import { HistoryError } from "../../errors.ts";
import { recordHasher } from "../../hash/record_hash.ts";
import { fullManifest } from "../../history/read_manifest.ts";
import { openRecords } from "../../history/records/open_records.ts";
import { objectIdsOf } from "../../lib/object_columns.ts";
import type { RecordLocation } from "../../lib/records.ts";
import { MpackDecoder } from "../../stream/mpack/mpack_decoder.ts";
import type { MpackLimits } from "../../stream/mpack/limits.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";

/** Where a content lies in the pack. */
export interface Content {
  readonly contentOffset: number;
  readonly sizeBytes: number;
}

/** The files of one commit. */
export interface CommitFiles {
  readonly entries: readonly (readonly [path: string, objectId: string])[];
  /** By object id. */
  readonly contents: ReadonlyMap<string, Content>;
  readonly commits: number;
}

/**
 * Reads the pack twice: first its records, then where the objects of the commit lie.
 *
 * @throws {InvalidMpackError} If the pack is not valid.
 * @throws {HistoryError} If it lacks the commit, its snapshot or an object of it.
 */
export async function readCommitFiles(
  store: BlobStore,
  key: string,
  { commitId, limits, signal }: {
    readonly commitId: string;
    readonly limits: Partial<MpackLimits>;
    readonly signal: AbortSignal;
  },
): Promise<CommitFiles> {
  let snapshotId: string | undefined, commits = 0;
  let place: (RecordLocation & { readonly snapshotId: string }) | undefined;
  await decodeAll(store, key, { limits, signal, history: true }, (decoder) => {
    const records = decoder.takeRecords();
    commits += records.commits.length;
    snapshotId ??= records.commits.find((commit) => commit.commitId === commitId)?.snapshotId;
    place ??= records.snapshots.find((snapshot) => snapshot.snapshotId === snapshotId);
  });
  if (place === undefined) throw lacks(`commit ${commitId}, or its snapshot`);
  const entries = await entriesAt(store, key, place, signal);
  const wanted = new Set(entries.map(([, objectId]) => objectId));
  const contents = new Map<string, Content>();
  await decodeAll(store, key, { limits, signal, history: false }, (decoder) => {
    const columns = decoder.take();
    for (const [i, id] of objectIdsOf(columns).entries()) {
      if (!wanted.has(id)) continue;
      contents.set(id, {
        contentOffset: columns.contentOffsets[i],
        sizeBytes: columns.sizesBytes[i],
      });
    }
  });
  for (const id of wanted) if (!contents.has(id)) throw lacks(`object ${id}`);
  return { entries, contents, commits };
}

async function decodeAll(
  store: BlobStore,
  key: string,
  { limits, signal, history }: {
    readonly limits: Partial<MpackLimits>;
    readonly signal: AbortSignal;
    readonly history: boolean;
  },
  onChunk: (decoder: MpackDecoder) => void,
): Promise<void> {
  const decoder = new MpackDecoder({
    limits,
    rows: !history,
    ...(history && { history: recordHasher }),
  });
  for await (const chunk of iterateReader(await store.open(key, { signal }))) {
    decoder.write(chunk);
    onChunk(decoder);
  }
  decoder.end();
  onChunk(decoder);
}

async function entriesAt(
  store: BlobStore,
  key: string,
  { snapshotId, offsetBytes, sizeBytes }: RecordLocation & { readonly snapshotId: string },
  signal: AbortSignal,
): Promise<(readonly [string, string])[]> {
  const { etag } = await store.stat(key, { signal });
  const place = {
    name: `snapshot ${snapshotId}`,
    snapshotId,
    parentSnapshotId: null,
    mpackId: 0,
    mpackKey: key,
    blobKey: key,
    etag,
    recordOffset: offsetBytes,
    recordBytes: sizeBytes,
    damagedAt: null,
  };
  const entries: (readonly [string, string])[] = [];
  for await (const { cursor } of openRecords(store, [place], signal)) {
    for await (const page of fullManifest(place, cursor)) {
      for (const entry of page) entries.push(entry);
    }
  }
  return entries;
}

function lacks(what: string): HistoryError {
  return new HistoryError("history-not-found", `Cannot check out: the server has not sent ${what}`);
}
