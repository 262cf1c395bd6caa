/**
 * Reads a batch of contents into memory and checks each plain one. The others are decoded when it is
 * their turn: together their plain bytes may be many.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";
import type { MpackdError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import type { ReadBatch, Run } from "./plan_reads.ts";
import { refusalOf, RunReader } from "./run_reader.ts";
import { ObjectCheck } from "./check_object.ts";

/** By id: the content, checked unless it is encoded, or why it cannot be read. */
export type BatchContents = ReadonlyMap<string, Uint8Array<ArrayBuffer> | MpackdError>;

/** Sends the batch's requests one after the other. Throws only errors that are not about one object. */
export async function readBatch(
  store: BlobStore,
  batch: ReadBatch,
  signal?: AbortSignal,
): Promise<BatchContents> {
  const contents = new Map<string, Uint8Array<ArrayBuffer> | MpackdError>();
  for (const run of batch.runs) await readRun(store, run, contents, signal);
  for (const location of batch.objects) {
    if (location.sizeBytes === 0) contents.set(location.objectId, unlessEncoded(location, EMPTY));
  }
  return contents;
}

const EMPTY = new Uint8Array(0);

async function readRun(
  store: BlobStore,
  run: Run,
  contents: Map<string, Uint8Array<ArrayBuffer> | MpackdError>,
  signal?: AbortSignal,
): Promise<void> {
  let opened: RunReader;
  try {
    opened = await RunReader.open(store, run, signal);
  } catch (error) {
    for (const location of run) contents.set(location.objectId, refusalOf(location, error));
    return;
  }
  await using reader = opened;
  for (const [i, location] of run.entries()) {
    let content: Uint8Array<ArrayBuffer>;
    try {
      content = await reader.content(location);
    } catch (error) {
      // The objects behind this one cannot be read either.
      for (const rest of run.slice(i)) contents.set(rest.objectId, refusalOf(rest, error));
      return;
    }
    contents.set(location.objectId, unlessEncoded(location, content));
  }
}

function unlessEncoded(location: ObjectLocation, content: Uint8Array<ArrayBuffer>) {
  return location.encoding === null ? checkContent(location, content) : content;
}

/** The content if it hashes to the object's id, otherwise the error. */
export function checkContent(
  location: ObjectLocation,
  content: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | MpackdError {
  const check = new ObjectCheck(location);
  check.update(content);
  try {
    check.finish();
    return content;
  } catch (error) {
    return refusalOf(location, error);
  }
}
