/**
 * One execution: the decoder against the oracle, and against its promises on memory and work.
 *
 * @module
 */

import { isDeepStrictEqual } from "node:util";
import { decodeMpack } from "../support/mpack/decode.ts";
import { readWhole, type WholeLimits } from "../support/mpack/whole_document.ts";
import type { DecoderState, MpackDecoder } from "../../src/stream/mpack/mpack_decoder.ts";

/** What is tried: a pack, how it is cut, how often the decoder is replaced, and the limits. */
export interface FuzzCase {
  /** The pack. */
  readonly bytes: Uint8Array;
  /** Bytes per chunk. */
  readonly chunkBytes: number;
  /** After how many chunks each time the state is saved and loaded; 0 for never. */
  readonly resumeEvery: number;
  /** Limits other than the defaults. */
  readonly limits: Partial<WholeLimits>;
  /** Whether records are read. */
  readonly history: boolean;
}

/** How a pack is decoded; another one than ours only to try the fuzzer itself. */
export type Decode = typeof decodeMpack;

/** What came of an execution. */
export interface Outcome {
  /** What is wrong with the decoder; undefined if nothing is. */
  readonly problem?: string;
  /** What the input made the decoder do, for the search: new ones make an input worth keeping. */
  readonly features: readonly string[];
}

/** A state without keys is bounded: what is kept of a record, and 64 sections of long names. */
const MOST_STATE_CHARACTERS = 500_000;
const CHARACTERS_PER_KEY = 26;

/** Decodes once in each way, and compares. */
export function check(input: FuzzCase, decode: Decode = decodeMpack): Outcome {
  const { bytes, chunkBytes, resumeEvery, limits, history } = input;
  const features = new Set<string>();
  let problem: string | undefined;
  let chunks = 0, last: MpackDecoder | undefined;
  const look = (decoder: MpackDecoder) => {
    last = decoder;
    if (++chunks % 16 !== 1) return;
    const state = decoder.save();
    if (!state) return;
    features.add(`at ${shapeOf(state)}`);
    problem ??= excessOf(state);
  };
  try {
    const expected = readWhole(bytes, limits, { history });
    const resume = () => resumeEvery > 0 && chunks % resumeEvery === 0;
    // Rows are taken after each chunk, or all at the end.
    const leave = () => resumeEvery === 0;
    const found = decode(bytes, { chunkBytes, limits, history, resume, leave, onChunk: look });
    if (!isDeepStrictEqual(found, expected)) {
      problem ??= `decoded ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`;
    }
    const state = last?.save();
    const end = expected.accepted
      ? `accepted ${size(expected.objects)} ${size(expected.commits)}`
      : `${expected.code} at ${bytes[expected.offsetBytes] >> 4}`;
    features.add(`${end} ${state ? shapeOf(state) : ""}`);
  } catch (error) {
    problem ??= `threw ${error instanceof Error ? error.stack ?? error.message : error}`;
  }
  return { problem, features: [...features] };
}

/** Where in the grammar the decoder is: open containers (repeats drawn together), body, field. */
function shapeOf({ containers, value, object, history, isWhole }: DecoderState): string {
  const kinds = containers.kinds.filter((kind, i) => kind !== containers.kinds[i - 1]);
  const isKey = (containers.left.at(-1) ?? 1) % 2 === 0;
  return [
    kinds.join("/"),
    isKey,
    value.body,
    value.headerBytes > 0,
    object.field,
    history?.field,
    isWhole,
  ]
    .join();
}

function excessOf(state: DecoderState): string | undefined {
  const characters = JSON.stringify(state).length;
  const keys = state.containers.keys.reduce((sum, hashes) => sum + hashes.length / 2, 0);
  const most = MOST_STATE_CHARACTERS + CHARACTERS_PER_KEY * keys;
  return characters <= most ? undefined : `a state of ${characters} characters for ${keys} keys`;
}

/** A number's magnitude, so that only a much larger one counts as new. */
function size(count: number): number {
  return 32 - Math.clz32(count);
}
