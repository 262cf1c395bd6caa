/**
 * Reads a batch of contents into memory, each one checked.
 *
 * @module
 */

import type { ObjectLocation } from "../db/refs.ts";
import type { MpackdError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";
import type { ReadBatch, Run } from "./plan.ts";
import { refusalOf, RunReader } from "./run_reader.ts";
import { ObjectCheck } from "./verify.ts";

/** Contents, or why they cannot be handed out, by id. */
export type Gathered = ReadonlyMap<string, Uint8Array<ArrayBuffer> | MpackdError>;

/** Runs the batch's requests one after the other. Throws only what says nothing of an object. */
export async function gather(
  store: BlobStore,
  batch: ReadBatch,
  signal?: AbortSignal,
): Promise<Gathered> {
  const gathered = new Map<string, Uint8Array<ArrayBuffer> | MpackdError>();
  for (const run of batch.runs) await gatherRun(store, run, gathered, signal);
  for (const location of batch.objects) {
    if (location.sizeBytes === 0) gathered.set(location.objectId, checked(location, NOTHING));
  }
  return gathered;
}

const NOTHING = new Uint8Array(0);

async function gatherRun(
  store: BlobStore,
  run: Run,
  gathered: Map<string, Uint8Array<ArrayBuffer> | MpackdError>,
  signal?: AbortSignal,
): Promise<void> {
  let opened: RunReader;
  try {
    opened = await RunReader.open(store, run, signal);
  } catch (error) {
    for (const location of run) gathered.set(location.objectId, refusalOf(location, error));
    return;
  }
  await using reader = opened;
  for (const [i, location] of run.entries()) {
    let content: Uint8Array<ArrayBuffer>;
    try {
      content = await reader.content(location);
    } catch (error) {
      // What cannot be read here cannot be read behind it either.
      for (const rest of run.slice(i)) gathered.set(rest.objectId, refusalOf(rest, error));
      return;
    }
    gathered.set(location.objectId, checked(location, content));
  }
}

/** The content if it is the object's, or its refusal. */
export function checked(
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
