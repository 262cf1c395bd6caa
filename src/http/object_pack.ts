/**
 * Writes many objects as one stream that has the form of an mpack.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import { readObjects, type ReadObjectsOptions } from "../objects/read_objects.ts";

const MAX_FIX_ARRAY = 15;
const MAX_ARRAY_16 = 0xffff;

/** The objects to write: ids that the repo has, each once. */
export interface PackOptions extends Omit<ReadObjectsOptions, "objectIds"> {
  readonly objectIds: readonly string[];
}

/** Yields `{objects: [{object_id, content}, …]}` in the given order; fails at an unreadable one. */
export function packOf(options: PackOptions): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(chunks(options));
}

async function* chunks(
  options: PackOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  yield join([[0x81], encode("objects"), arrayHeader(options.objectIds.length)]);
  for await (const entry of readObjects(options)) {
    const { objectId, sizeBytes } = entry;
    yield join([
      [0x82],
      encode("object_id"),
      encode(objectId),
      encode("content"),
      binHeader(sizeBytes),
    ]);
    yield* entry.chunks();
  }
}

function arrayHeader(length: number): number[] {
  if (length <= MAX_FIX_ARRAY) return [0x90 | length];
  if (length <= MAX_ARRAY_16) return [0xdc, length >>> 8, length & 0xff];
  return [0xdd, ...bigEndian(length)];
}

function binHeader(length: number): number[] {
  if (length <= 0xff) return [0xc4, length];
  if (length <= 0xffff) return [0xc5, length >>> 8, length & 0xff];
  return [0xc6, ...bigEndian(length)];
}

function bigEndian(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

function join(parts: readonly (Uint8Array | number[])[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
